//! A relay between a host and a PostgreSQL server, which counts the server's answers. One answer ends with one message
//! `ReadyForQuery` (PostgreSQL's documentation, chapter "Frontend/Backend Protocol").
//!
//! An answer that consists of this message alone is not counted. It is the check whether the server still answers, which
//! the pool makes only for a connection that was idle for more than a second. So the counts do not depend on the speed of
//! the machine.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The relay. It ends when this value is dropped.
pub(crate) struct Wire {
    answers: Arc<AtomicU64>,
    relay: JoinHandle<()>,
}

impl Wire {
    /// Starts a relay to the server with this address. Returns the address of the same database through the relay. TLS
    /// is off, because the relay has to read the answers.
    pub(crate) async fn to(address: &str) -> Result<(String, Self)> {
        let (before, rest) = address.split_once("://").context("an address without a scheme")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, database) = rest.split_at(end);
        let (user, server) = authority.rsplit_once('@').unwrap_or(("", authority));
        let server = if server.contains(':') { server.to_owned() } else { format!("{server}:5432") };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let relay: SocketAddr = listener.local_addr()?;
        let at = if user.is_empty() { "" } else { "@" };
        let mark = if database.contains('?') { '&' } else { '?' };
        let through = format!("{before}://{user}{at}{relay}{database}{mark}sslmode=disable");
        let answers = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&answers);
        let relay = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, counted) = (server.clone(), Arc::clone(&counted));
                // If one side ends the connection, the other side sees it end, too.
                tokio::spawn(async move { relay_one(client, &server, &counted).await });
            }
        });
        Ok((through, Self { answers, relay }))
    }

    /// Returns the number of the server's answers so far.
    pub(crate) fn round_trips(&self) -> u64 {
        self.answers.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

async fn relay_one(client: TcpStream, server: &str, answers: &AtomicU64) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = tokio::spawn(async move {
        let asked = tokio::io::copy(&mut from_client, &mut to_server).await;
        to_server.shutdown().await?;
        asked
    });
    let (mut messages, mut buffer) = (Messages::default(), vec![0; 64 << 10]);
    loop {
        let length = from_server.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { break };
        // Counted before the client sees the answer, so that the client never reads a count that is too low.
        answers.fetch_add(messages.ready_in(bytes), Ordering::SeqCst);
        to_client.write_all(bytes).await?;
    }
    asking.abort();
    Ok(())
}

/// Splits a server's bytes into messages. A message is one byte for its type, four for its length, and its content. The
/// length counts itself.
#[derive(Default)]
struct Messages {
    head: Vec<u8>,
    content_left: usize,
    /// The type of the latest message. 0 if there was none.
    latest: u8,
}

impl Messages {
    /// Returns how many answers end in these bytes, without those that consist of `ReadyForQuery` alone.
    fn ready_in(&mut self, mut bytes: &[u8]) -> u64 {
        let mut ready = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if self.content_left > 0 {
                let content = self.content_left.min(bytes.len());
                self.content_left -= content;
                bytes = bytes.get(content..).unwrap_or_default();
                continue;
            }
            self.head.push(*first);
            bytes = rest;
            if let &[kind, a, b, c, d] = self.head.as_slice() {
                self.content_left = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
                ready += u64::from(kind == b'Z' && self.latest != b'Z');
                self.latest = kind;
                self.head.clear();
            }
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_however_the_bytes_arrive() {
        // Two answers whose results contain the letter `Z`, and between them the answer to a check.
        let bytes = b"C\0\0\0\x08ZZZ\0Z\0\0\0\x05IZ\0\0\0\x05IC\0\0\0\x08ZZZ\0Z\0\0\0\x05I";
        for size in 1..=bytes.len() {
            let mut messages = Messages::default();
            let ready: u64 = bytes.chunks(size).map(|chunk| messages.ready_in(chunk)).sum();
            assert_eq!(ready, 2, "in pieces of {size}");
        }
    }
}
