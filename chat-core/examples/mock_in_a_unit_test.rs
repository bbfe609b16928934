//! A unit test of your own code with a mock in place of one port.
//!
//! ```sh
//! cargo test -p chat-core --features memory,mocks --example mock_in_a_unit_test
//! ```

use std::{error::Error, io::Write as _, sync::Arc, time::Duration};

use chat_core::{
    memory::Memory,
    model::ApplicationName,
    ports::{Counter, MockCounter, Numbering, Overload, Ports},
    service::{Policy, ServiceError, Services},
};

/// The code under test: opens a chat, and says in words how that went.
async fn open_support_chat(services: &Services) -> Result<String, ServiceError> {
    let name = ApplicationName::parse("support").expect("it is a good name");
    let token = services.applications.create(name).await?.token;
    Ok(match services.chats.create(&token, None, None).await {
        Ok(created) => format!("you are number {}", created.item.key.chat),
        Err(ServiceError::Overloaded { retry_after, .. }) => {
            format!(
                "all lines are busy, call again in {} s",
                retry_after.as_secs()
            )
        }
        Err(error) => return Err(error),
    })
}

fn services(counter: Option<MockCounter>) -> Services {
    let memory = Memory::new().ports();
    let ports = match counter {
        Some(counter) => Ports {
            counter: Arc::new(counter) as Arc<dyn Counter>,
            ..memory
        },
        None => memory,
    };
    Services::new(&ports, &Policy::default())
}

/// A counter that is full, which a real one seldom is when a test needs it.
fn full_counter() -> MockCounter {
    let mut counter = MockCounter::new();
    counter.expect_create().times(1).returning(|_| {
        Ok(Numbering::Overloaded {
            by: Overload::Backlog,
            retry_after: Duration::from_secs(7),
        })
    });
    counter
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    writeln!(out, "{}", open_support_chat(&services(None)).await?)?;
    writeln!(
        out,
        "{}",
        open_support_chat(&services(Some(full_counter()))).await?
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_system_says_when_to_call_again() {
        let answer = open_support_chat(&services(Some(full_counter())))
            .await
            .unwrap();
        assert_eq!(answer, "all lines are busy, call again in 7 s");
    }

    #[tokio::test]
    async fn callers_are_numbered_from_one() {
        assert_eq!(
            open_support_chat(&services(None)).await.unwrap(),
            "you are number 1"
        );
    }
}
