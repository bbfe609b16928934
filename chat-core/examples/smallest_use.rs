//! The smallest use: a chat system within your own program, in memory.
//!
//! ```sh
//! cargo run -p chat-core --features memory --example smallest_use
//! ```

use std::{error::Error, io::Write as _};

use chat_core::{
    memory::Memory,
    model::{ApplicationName, Limit, MessageBody, NumberRange, Sender},
    service::{Policy, Services},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let services = Services::new(&Memory::new().ports(), &Policy::default());

    let application = services
        .applications
        .create(ApplicationName::parse("my program")?)
        .await?;
    let token = application.token;
    let chat = services
        .chats
        .create(&token, None, None)
        .await?
        .item
        .key
        .chat;
    for body in ["hello", "is anybody there?"] {
        let sender = Some(Sender::parse("ann")?);
        services
            .messages
            .create(&token, chat, sender, MessageBody::parse(body)?, None)
            .await?;
    }

    let all = NumberRange::all();
    let page = services
        .messages
        .list(&token, chat, all, Limit::default())
        .await?;
    let mut out = std::io::stdout();
    for message in page.items {
        writeln!(out, "{}: {}", message.key.message, message.body.as_str())?;
    }
    Ok(())
}
