//! Connections that are made again whenever they are lost; every wait on one has a timeout.
//!
//! The driver can recover a connection by itself, but then its callers wait for as long as that takes. Here
//! a lost one is dropped, and callers fail at once in the meantime.

use std::{
    future::pending,
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd as _,
    sync::{Arc, OnceLock},
    time::Duration,
};

use chat_core::Chain;
use futures_util::StreamExt as _;
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties, Event,
    options::{ConfirmSelectOptions, QueueDeclareOptions},
    runtime::default_runtime,
    tcp::{AMQPUriTcpExt as _, TLSConfig},
    types::{AMQPValue, FieldTable, ShortString},
    uri::{AMQPScheme, AMQPUri},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{RabbitMqConfig, error::Failure};

/// The pause before each attempt to reconnect.
const PAUSE: Duration = Duration::from_millis(200);

/// Where the broker is, and what its queues are called.
pub(crate) struct Place {
    pub(crate) uri: AMQPUri,
    /// Where work waits.
    pub(crate) work: ShortString,
    /// Where the broker moves what it has delivered too often.
    pub(crate) returned: ShortString,
    /// How often it delivers an entry before it does.
    pub(crate) delivery_limit: u32,
    connect_timeout: Duration,
    answer_timeout: Duration,
}

impl Place {
    pub(crate) fn new(uri: AMQPUri, config: &RabbitMqConfig) -> Self {
        Self {
            uri,
            work: format!("{}creations", config.prefix).into(),
            returned: format!("{}creations.returned", config.prefix).into(),
            delivery_limit: config.delivery_limit,
            connect_timeout: config.connect_timeout,
            answer_timeout: config.answer_timeout,
        }
    }

    /// The arguments of both queues: replicated, and without a limit that would drop an entry.
    fn arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        let mut set = |name: &str, value| {
            arguments.insert(name.into(), value);
        };
        let text = |text: &str| AMQPValue::LongString(text.into());
        set("x-queue-type", text("quorum"));
        set(
            "x-delivery-limit",
            AMQPValue::LongLongInt(self.delivery_limit.into()),
        );
        // Where an operator's policy sets a limit, entries are rejected and not dropped.
        set("x-overflow", text("reject-publish"));
        arguments
    }

    /// The same for the first queue, from which the broker moves entries to the second.
    fn handing_on(&self) -> FieldTable {
        let mut arguments = self.arguments();
        let mut set = |name: &str, value: &str| {
            arguments.insert(name.into(), AMQPValue::LongString(value.into()));
        };
        set("x-dead-letter-exchange", "");
        set("x-dead-letter-routing-key", self.returned.as_str());
        set("x-dead-letter-strategy", "at-least-once");
        arguments
    }
}

/// A connection that is made again whenever it is lost.
pub(crate) struct Link {
    current: watch::Receiver<Option<Arc<Session>>>,
    _keeper: AbortOnDropHandle<()>,
}

impl Link {
    /// Connects, and from then on reconnects whenever the connection is lost.
    ///
    /// `purpose` says in the broker's list what the connection is for.
    pub(crate) async fn open(place: Arc<Place>, purpose: &'static str) -> Result<Self, Failure> {
        let first = Arc::new(Session::open(&place, purpose).await?);
        let (sender, current) = watch::channel(Some(Arc::clone(&first)));
        let keeper = tokio::spawn(keep(place, purpose, first, sender));
        Ok(Self {
            current,
            _keeper: AbortOnDropHandle::new(keeper),
        })
    }

    /// The present connection, if there is one.
    pub(crate) fn session(&self) -> Result<Arc<Session>, Failure> {
        let session = self.current.borrow().clone();
        session.filter(|it| !it.is_lost()).ok_or(Failure::Away)
    }

    /// Closes the connection, if there is one.
    pub(crate) async fn close(&self) {
        if let Ok(session) = self.session() {
            let goodbye = session.connection.close(200, "OK".into());
            if let Err(failure) = session.ask(goodbye).await {
                tracing::debug!(
                    error = %Chain(&failure),
                    "the connection to RabbitMQ could not be closed cleanly"
                );
            }
        }
    }
}

/// Connects and disconnects again.
pub(crate) async fn reach(place: &Place) -> Result<(), Failure> {
    let (connection, socket) = connect(place, "health check").await?;
    let parting = timeout(place.answer_timeout, connection.close(200, "OK".into()));
    let parted = parting.await.map_err(|_| Failure::Late);
    shut(&socket);
    Ok(parted??)
}

/// Replaces the connection whenever it is lost.
async fn keep(
    place: Arc<Place>,
    purpose: &'static str,
    mut session: Arc<Session>,
    sender: watch::Sender<Option<Arc<Session>>>,
) {
    loop {
        let cause = session.until_lost().await;
        session.give_up();
        sender.send_replace(None);
        drop(session);
        tracing::warn!(
            purpose,
            cause,
            "the connection to RabbitMQ is lost; reconnecting"
        );
        let mut attempts = 0_u64;
        session = loop {
            sleep(PAUSE).await;
            match Session::open(&place, purpose).await {
                Ok(session) => break Arc::new(session),
                // Warn of the first failure, and of a longer absence now and then.
                Err(failure) if attempts.is_multiple_of(300) => {
                    tracing::warn!(
                        purpose,
                        error = %Chain(&failure),
                        "connecting to RabbitMQ failed and is retried"
                    );
                }
                Err(failure) => {
                    tracing::debug!(
                        purpose,
                        error = %Chain(&failure),
                        "connecting to RabbitMQ failed again"
                    );
                }
            }
            attempts += 1;
        };
        tracing::info!(purpose, "connected to RabbitMQ again");
        sender.send_replace(Some(Arc::clone(&session)));
    }
}

/// One connection, from its opening to its loss.
pub(crate) struct Session {
    connection: Connection,
    /// For publishing, with confirms, and for questions.
    pub(crate) channel: Channel,
    /// The connection's socket, to be shut down so that nobody waits for a silent broker.
    socket: Arc<OnceLock<TcpStream>>,
    lost: CancellationToken,
    answer_timeout: Duration,
}

impl Session {
    async fn open(place: &Place, purpose: &str) -> Result<Self, Failure> {
        let (connection, socket) = connect(place, purpose).await?;
        let setting_up = timeout(place.answer_timeout, set_up(&connection, place)).await;
        let set_up = setting_up.map_err(|_| Failure::Late).and_then(|it| it);
        let channel = set_up.inspect_err(|_| shut(&socket))?;
        Ok(Self {
            connection,
            channel,
            socket,
            lost: CancellationToken::new(),
            answer_timeout: place.answer_timeout,
        })
    }

    /// Another channel on it.
    pub(crate) async fn new_channel(&self) -> Result<Channel, Failure> {
        self.ask(self.connection.create_channel()).await
    }

    /// Waits for an answer; a failure ends the whole connection, since what is half done on it is of no
    /// use.
    pub(crate) async fn ask<T>(
        &self,
        asked: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Failure> {
        let answer = match timeout(self.answer_timeout, asked).await {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::Late),
        };
        // While the broker blocks, the driver writes nothing, and goes on afterwards: the connection is kept.
        answer.map_err(|failure| {
            if self.is_blocked() {
                return Failure::Blocked;
            }
            self.give_up();
            failure
        })
    }

    /// Says whether the broker blocks publishers at the moment.
    pub(crate) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_cancelled() || !self.connection.status().connected()
    }

    /// Ends the connection without waiting for anybody.
    pub(crate) fn give_up(&self) {
        self.lost.cancel();
        shut(&self.socket);
    }

    /// Waits until it is lost, and says why.
    async fn until_lost(&self) -> String {
        let mut events = Box::pin(self.connection.events_listener());
        let failing = async {
            while let Some(event) = events.next().await {
                if let Event::Error(error) = event {
                    return error.to_string();
                }
            }
            pending().await
        };
        tokio::select! {
            () = self.lost.cancelled() => "it was closed after a failure".to_owned(),
            cause = failing => cause,
        }
    }
}

/// Shuts a socket down, so that whoever waits for an answer fails and the driver's thread ends.
fn shut(socket: &OnceLock<TcpStream>) {
    if let Some(socket) = socket.get() {
        // This fails if the other side was quicker.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

/// Connects in time, or leaves nothing behind.
async fn connect(
    place: &Place,
    purpose: &str,
) -> Result<(Connection, Arc<OnceLock<TcpStream>>), Failure> {
    let socket = Arc::new(OnceLock::new());
    let dialling = dial(place, purpose, Arc::clone(&socket));
    let dialled = timeout(place.connect_timeout, dialling).await;
    let dialled = dialled.map_err(|_| Failure::Late).and_then(|it| it);
    let connection = dialled.inspect_err(|_| shut(&socket))?;
    Ok((connection, socket))
}

async fn dial(
    place: &Place,
    purpose: &str,
    socket: Arc<OnceLock<TcpStream>>,
) -> Result<Connection, Failure> {
    let properties =
        ConnectionProperties::default().with_connection_name(format!("chat: {purpose}").into());
    // Half of the time, so that the socket is known, and can be shut, when all of it is up.
    let limit = place.connect_timeout / 2;
    let connecting = Connection::connector(
        place.uri.clone(),
        default_runtime()?,
        async move |uri, runtime| {
            let plain = AMQPUri {
                scheme: AMQPScheme::AMQP,
                ..uri.clone()
            };
            let opening = plain.connect_with_config_async(TLSConfig::default(), &runtime);
            let opened = timeout(limit, opening).await.map_err(io::Error::from);
            let stream = opened.and_then(|it| it)?;
            if let AsyncTcpStream::Plain(stream) = &stream {
                let stream = stream.get_ref();
                stream.set_nodelay(true)?;
                let same = stream.as_fd().try_clone_to_owned()?;
                let _ = socket.set(TcpStream::from(same));
            }
            match uri.scheme {
                AMQPScheme::AMQP => Ok(stream),
                AMQPScheme::AMQPS => {
                    let host = uri.authority.host.as_str();
                    Ok(stream.into_tls(host, TLSConfig::default()).await?)
                }
            }
        },
        properties,
    );
    Ok(connecting.await?)
}

/// Declares the queues, and opens a channel that publishes with confirms.
async fn set_up(connection: &Connection, place: &Place) -> Result<Channel, Failure> {
    let channel = connection.create_channel().await?;
    let durable = QueueDeclareOptions::durable();
    for (queue, arguments) in [
        (&place.returned, place.arguments()),
        (&place.work, place.handing_on()),
    ] {
        channel
            .queue_declare(queue.clone(), durable, arguments)
            .await?;
    }
    let confirming = ConfirmSelectOptions::default();
    channel.confirm_select(confirming).await?;
    Ok(channel)
}
