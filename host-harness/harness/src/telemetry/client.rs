//! The HTTP client that sends spans. OpenTelemetry's thread calls it and waits, so it has a runtime of its own.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use rustls::{ClientConfig, RootCertStore};
use tiktok_shop_host::certificates::CertificateAuthorities;
use tokio::runtime::{Builder, Runtime};

/// The largest answer of a collector: 1 MiB.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// How long a request may take, as the standard says.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends requests to a collector.
#[derive(Debug)]
pub(super) struct Client {
    connections: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Runtime,
}

impl Client {
    /// Creates a client that trusts Mozilla's certificate authorities.
    pub(super) fn new() -> Result<Self, String> {
        Self::with_roots(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
    }

    /// Creates a client that trusts only the certificate authorities in this file.
    pub(super) fn trusting(path: &Path) -> Result<Self, String> {
        let authorities = CertificateAuthorities::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::with_roots(authorities.roots().clone())
    }

    fn with_roots(roots: RootCertStore) -> Result<Self, String> {
        let provider = rustls::crypto::ring::default_provider().into();
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = versions.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        let connections = legacy::Client::builder(TokioExecutor::new()).build(connector);
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self { connections, runtime: runtime.map_err(|error| format!("no runtime: {error}"))? })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending = async {
            let (head, body) = self.connections.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        tokio::time::timeout(TIMEOUT, sending).await?
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.runtime.block_on(self.send(request));
        match &answer {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => tracing::warn!(status = answer.status().as_u16(), "the collector refused traces"),
            Err(_) => tracing::warn!("no answer of the collector of traces"),
        }
        answer
    }
}
