//! Tests the traces of the service: a receiver takes what the service sends by OTLP. It contains spans of requests and
//! calls, and no secret.
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::thread::JoinHandle;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as AnyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::Value;

use crate::gate::send;
use crate::stage::Stage;

/// A request that a receiver has got.
struct Received {
    head: String,
    body: Vec<u8>,
}

/// Receives requests on loopback, and answers each with an empty body.
struct Receiver {
    address: String,
    receiving: JoinHandle<Vec<Received>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let receiving = std::thread::spawn(move || {
            let mut received = Vec::new();
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some(request) = next_request(&mut stream) {
                    if request.head.starts_with("POST /stop ") {
                        return received;
                    }
                    received.push(request);
                    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                }
            }
            received
        });
        Self { address, receiving }
    }

    /// Returns all requests. The sender must have ended.
    fn end(self) -> Vec<Received> {
        TcpStream::connect(&self.address).unwrap().write_all(b"POST /stop HTTP/1.1\r\n\r\n").unwrap();
        self.receiving.join().unwrap()
    }
}

/// Reads the next request of a connection. `None` at the end of the connection.
fn next_request(stream: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(Received { head, body })
}

fn ask(address: &str, key: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    if let AnyValue::StringValue(text) = found.value.as_ref()?.value.as_ref()? { Some(text.clone()) } else { None }
}

#[test]
fn a_collector_gets_spans_of_requests_and_calls_without_secrets() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let account = stage.account("one-shop");
    let created = stage.ok("api-keys create --name billing --tenant default --scopes connect,read,call,token", "");
    let (key, entry) = created.split_once("\n\n").unwrap();
    let config = stage.home().join("service.toml");
    fs::write(&config, entry).unwrap();
    fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();

    let receiver = Receiver::start();
    let mut serve = stage.command(&format!("serve --listen 127.0.0.1:0 --json --config {}", config.display()));
    serve.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", receiver.address));
    let mut service = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(service.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let started: Value = serde_json::from_str(&line).unwrap();
    let address = started["listen"].as_str().unwrap();

    let of_customer = "/v1/customers/customer-7";
    let connection = format!("{of_customer}/connections/{account}");
    for (method, path, body) in [
        ("GET", format!("{of_customer}/shops"), ""),
        ("POST", format!("{connection}/refresh"), r#"{"mode":"forced"}"#),
        ("POST", format!("{connection}/access-token"), "{}"),
        ("GET", format!("{of_customer}/accounts/{account}/tiktok/authorization/202309/shops"), ""),
        ("POST", format!("{of_customer}/connect-sessions"), "{}"),
    ] {
        let answer = ask(address, key, method, &path, body);
        assert!(answer.starts_with("HTTP/1.1 20"), "{path}: {answer}");
    }
    send("TERM", &service);
    assert_eq!(service.wait().unwrap().code(), Some(0));
    let received = receiver.end();

    let mut spans: Vec<Span> = Vec::new();
    for Received { head, body } in &received {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
        for resource in ExportTraceServiceRequest::decode(&**body).unwrap().resource_spans {
            let name = text(&resource.resource.unwrap().attributes, "service.name");
            assert_eq!(name.as_deref(), Some("tiktok-shop-connector"));
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    for (name, attribute, value) in [
        ("request", "route", "/v1/customers/{customer}/connections/{account}/refresh"),
        ("request", "route", "/v1/customers/{customer}/connect-sessions"),
        ("call", "operation", "refresh"),
        ("call", "operation", "access-token"),
        ("call", "operation", "call"),
    ] {
        let is_it = |span: &&Span| span.name == name && text(&span.attributes, attribute).as_deref() == Some(value);
        let span = spans.iter().find(is_it).unwrap_or_else(|| panic!("no span {name} with {attribute} {value}"));
        // A call is a child of its request.
        assert_eq!(span.parent_span_id.is_empty(), name == "request", "{name} {value}");
    }
    let mut canaries = stage.canaries();
    canaries.add("API key", key);
    for Received { body, .. } in &received {
        let found: Vec<_> = canaries.found_in(body).iter().map(ToString::to_string).collect();
        assert_eq!(found, [""; 0]);
    }
}

#[test]
fn check_config_accepts_right_settings_of_the_traces_and_refuses_wrong_ones_as_serve_does() {
    let stage = Stage::new();
    stage.ok("keys init", "");
    stage.ok("migrate", "");
    let mut right = stage.command("check-config");
    right.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let run = crate::run(right, "");
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    for (name, value, error) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "collector:4318",
            "OTEL_EXPORTER_OTLP_ENDPOINT: not an http or https address, such as http://127.0.0.1:4318",
        ),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            "OTEL_EXPORTER_OTLP_PROTOCOL: this program speaks only http/protobuf; unset the variable",
        ),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "/dev/null",
            "OTEL_EXPORTER_OTLP_CERTIFICATE: /dev/null: not a regular file",
        ),
    ] {
        for arguments in ["check-config", "serve"] {
            let mut command = stage.command(arguments);
            command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1").env(name, value);
            let (status, line) = stage.error(command, "");
            assert_eq!((status, &*line), (Some(2), error), "{arguments}");
        }
    }
}
