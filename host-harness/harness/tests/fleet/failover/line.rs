//! The address of the database that the processes know. It leads to one server, and later to another one, as a proxy or
//! a DNS name does after a failover.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    target: watch::Sender<SocketAddr>,
}

impl Line {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = Self { address: listener.local_addr().unwrap(), target: watch::Sender::new(target) };
        tokio::spawn(serve(listener, line.target.subscribe()));
        line
    }

    /// Leads all later connections to this server. The open connections break.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.target.send_replace(target);
    }
}

async fn serve(listener: TcpListener, target: watch::Receiver<SocketAddr>) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut target = target.clone();
        tokio::spawn(async move {
            let server = *target.borrow_and_update();
            // If the server does not run, the connection of the client is closed.
            let Ok(mut server) = TcpStream::connect(server).await else { return };
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            tokio::select! {
                _ended = copy_bidirectional(&mut client, &mut server) => {}
                _led_elsewhere = target.changed() => {}
            }
        });
    }
}
