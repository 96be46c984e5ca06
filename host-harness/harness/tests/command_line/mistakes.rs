//! Tries all commands with all kinds of mistakes: settings, databases, host keys, components, apps, input and arguments
//! that are missing, wrong, empty or hostile. For each pair, the file `mistakes.txt` contains what the program answers.
//!
//! Each command runs in its own copy of a home folder with a connection. Its component is a file that is no component.
//! So a command that runs the component, and that no mistake stops before, ends with the error about this file: no
//! component has to be compiled, and a mistake can't change a connection. Other tests try what happens in a call.
//!
//! To add a mistake, add a line to a table below. To add a command, add it to [`COMMANDS`]. If the answers differ from
//! `mistakes.txt`, the test writes all of them to another file, and its failure names this file. Compare the two files
//! as an operator would: each answer must say what happened and what to do. Then copy the new file over
//! `mistakes.txt`.
//!
//! In `mistakes.txt`, the line of a mistake contains its name, the commands that were tried, and the change. Then each
//! answer follows: its exit status, what was written to standard error, and the commands that gave it. `no effect` means
//! that the command answers as without the mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tempfile::TempDir;
use tiktok_shop_canaries::Canaries;
use tokio::runtime::Runtime;

use crate::opening::{ADD_NEWER, UNDO_NEWEST, execute_sqlite};
use crate::stage::{ACTOR, Stage, at_home};
use crate::{PROGRAM, Run, command, configuration, harness, run};

/// The settings that a command reads. Each kind of command also reads the settings of all kinds before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reads {
    Nothing,
    /// The configuration file, and the address of a fake.
    Configuration,
    Database,
    /// The tenant, the app, the host keys and the proxy.
    Storage,
    Component,
}

use self::Reads::{Component, Configuration, Database, Nothing, Storage};

/// Every command, with the settings that it reads and with right arguments and right input. Words of the form `{…}` are
/// replaced, see [`Place::filled`].
const COMMANDS: [(&str, Reads, &str); 37] = [
    ("authorization-url", Component, "customer-7"),
    ("connect", Component, "<callback"),
    ("import", Component, "- <line"),
    ("export", Component, "grants.jsonl customer-7"),
    ("refresh", Component, "customer-7"),
    ("list-shops", Component, "customer-7"),
    ("list-connections", Component, "customer-7"),
    ("link-shops", Component, "customer-7 1"),
    ("access-token", Component, "customer-7"),
    ("call", Component, "customer-7 GET /order/202309/orders"),
    ("disconnect", Component, "customer-7"),
    ("webhook", Component, "--authorization 00 <object"),
    ("events", Storage, ""),
    ("sweep", Component, ""),
    ("keys", Nothing, ""),
    ("keys init", Configuration, ""),
    ("keys status", Storage, ""),
    ("keys add", Storage, ""),
    ("keys promote", Storage, "second"),
    ("keys rotate", Storage, "--wait 0"),
    ("keys retire", Storage, "second"),
    ("keys erase", Storage, "--tenant default"),
    ("migrate", Database, ""),
    ("serve", Component, ""),
    ("check-config", Component, ""),
    ("api-keys", Nothing, ""),
    ("api-keys create", Nothing, "--name billing --scopes read"),
    ("webhook-secret", Nothing, "--name main --address https://app.example/webhooks"),
    // The folder of the reports is refused first, because the probe would send requests.
    ("probe", Nothing, "--yes --report {files}/text"),
    // This address is refused, because the fake would run until a signal ends it.
    ("fake", Nothing, "--port 0 --redirect /nowhere"),
    ("contract", Nothing, "sqlite:{files}/missing.sqlite"),
    ("inspect", Nothing, "{files}/text"),
    ("sign", Nothing, "<request"),
    ("verify-webhook", Nothing, "<webhook"),
    ("completions", Nothing, "bash"),
    ("man", Nothing, "refresh"),
    ("help", Nothing, "refresh"),
];

/// Mistakes in the settings. Each line has a name, the commands that are tried with the mistake, and what is changed.
/// The commands are a kind of command, `every` or a list of names. A change `NAME=VALUE` sets a variable, `!NAME` unsets
/// a variable, `<NAME` gives an input, and everything else is an argument.
const MISTAKES: &[(&str, &str, &str)] = &[
    // Every command checks every variable, so that a mistake is found before the variable is needed.
    ("unknown variable", "every", "TIKTOK_SHOP_DATABASE=CANARY"),
    ("unknown variable with a similar name", "every", "TIKTOK_SHOP_HOSTKEYS=CANARY"),
    ("empty variable", "every", "TIKTOK_SHOP_APP_SECRET={empty}"),
    ("variable with an invisible character", "every", "TIKTOK_SHOP_APP_SECRET=CANARY{zwsp}"),
    ("variable that is not UTF-8", "every", "TIKTOK_SHOP_APP_SECRET=CANARY{not-utf-8}"),
    ("unknown option", "every", "--no-such-option=CANARY"),
    ("option twice", "every", "--json --json"),
    // The folders of the user.
    ("no home folder", "every", "HOME={empty}"),
    ("relative home folder", "every", "HOME=relative"),
    ("relative data folder", "configuration", "XDG_DATA_HOME=relative"),
    ("relative configuration folder", "configuration", "XDG_CONFIG_HOME=relative"),
    // The configuration file.
    ("configuration: empty option", "configuration", "--config={empty}"),
    ("configuration: missing", "configuration", "--config {files}/missing"),
    ("configuration: missing, in a variable", "every", "TIKTOK_SHOP_CONFIG={files}/missing"),
    ("configuration: folder", "configuration", "--config {files}/folder"),
    ("configuration: link to itself", "configuration", "--config {files}/loop"),
    ("configuration: path below a file", "configuration", "--config {files}/text/x"),
    ("configuration: too long a path", "configuration", "--config {long}"),
    ("configuration: path that is not UTF-8", "configuration", "TIKTOK_SHOP_CONFIG=files/a{not-utf-8}"),
    ("configuration: readable by others", "configuration", "--config {files}/readable"),
    ("configuration: writable by others", "configuration", "--config {files}/writable"),
    ("configuration: in a folder of others", "configuration", "--config {files}/open/file"),
    ("configuration: unreadable", "configuration", "--config {files}/unreadable"),
    ("configuration: not TOML", "configuration", "--config {files}/text"),
    ("configuration: not UTF-8", "configuration", "--config {files}/not-utf-8"),
    ("configuration: unknown member", "configuration", "--config {files}/unknown-member.toml"),
    ("configuration: member of the wrong type", "configuration", "--config {files}/wrong-type.toml"),
    ("configuration: wrong database", "configuration", "--config {files}/wrong-database.toml"),
    ("configuration: app without a secret", "configuration", "--config {files}/no-secret.toml"),
    ("configuration: wrong proxy", "configuration", "--config {files}/wrong-proxy.toml"),
    ("configuration: wrong key service", "configuration", "--config {files}/wrong-key-service.toml"),
    ("configuration: given twice", "configuration", "--config {files}/empty --config {files}/empty"),
    ("file access: unknown", "configuration", "--file-access CANARY"),
    ("file access: empty", "configuration", "--file-access={empty}"),
    // The fake.
    ("fake: refused", "configuration", "--fake http://127.0.0.1:1"),
    ("fake: refused, in a variable", "every", "TIKTOK_SHOP_FAKE=http://127.0.0.1:1"),
    ("fake: not a fake", "configuration", "--fake http://{stranger}"),
    ("fake: https", "configuration", "--fake https://{fake}"),
    (
        "fake: https, in a variable",
        "refresh,events,keys init,migrate,contract,sign,help",
        "TIKTOK_SHOP_FAKE=https://{fake}",
    ),
    ("fake: not an address", "configuration", "--fake CANARY"),
    ("fake: on another machine", "configuration", "--fake http://192.0.2.1:80"),
    ("fake: empty", "configuration", "--fake={empty}"),
    // The database.
    ("database: empty", "database", "--storage={empty}"),
    ("database: not an address", "database", "--storage CANARY"),
    (
        "database: not an address, in a variable",
        "refresh,events,keys init,migrate,contract,sign,help",
        "TIKTOK_SHOP_STORAGE=CANARY",
    ),
    ("database: invisible character", "database", "--storage sqlite:files/a{zwsp}"),
    ("database: too long a path", "database", "--storage sqlite:{long}"),
    ("database: missing", "storage", "--storage sqlite:{files}/missing"),
    ("database: missing, in a variable", "storage", "TIKTOK_SHOP_STORAGE=sqlite:{files}/missing"),
    ("database: missing folder", "database", "--storage sqlite:{files}/missing/file"),
    ("database: folder", "database", "--storage sqlite:{files}/folder"),
    ("database: link to itself", "database", "--storage sqlite:{files}/loop"),
    ("database: path below a file", "database", "--storage sqlite:{files}/text/x"),
    ("database: readable by others", "database", "--storage sqlite:{files}/readable"),
    ("database: writable by others", "database", "--storage sqlite:{files}/writable"),
    ("database: in a folder of others", "database", "--storage sqlite:{files}/open/file"),
    ("database: unreadable", "database", "--storage sqlite:{files}/unreadable"),
    ("database: empty file", "storage", "--storage sqlite:{files}/empty"),
    ("database: not a database", "database", "--storage sqlite:{files}/text"),
    ("database: another program's", "storage", "--storage sqlite:{files}/other-program.sqlite"),
    ("database: older schema", "storage", "--storage sqlite:{files}/older.sqlite"),
    ("database: newer schema", "database", "--storage sqlite:{files}/newer.sqlite"),
    ("database: damaged", "database", "--storage sqlite:{files}/damaged.sqlite"),
    ("database: of TikTok Shop, with a fake", "storage", "--storage sqlite:{data}/connections.sqlite"),
    (
        "database: of a fake, without a fake",
        "storage",
        "!TIKTOK_SHOP_FAKE TIKTOK_SHOP_STORAGE=sqlite:{data}/fake-connections.sqlite",
    ),
    ("database: locked", "events,keys status,migrate", "--storage sqlite:{files}/locked.sqlite"),
    ("database: memory", "migrate", "--storage memory:"),
    ("database: server refused", "database", "--storage postgres://user@127.0.0.1:1/db"),
    (
        "database: server in a variable refused",
        "events,migrate",
        "TIKTOK_SHOP_STORAGE=postgres://u:CANARY@127.0.0.1:1/db",
    ),
    (
        "database: unknown parameter",
        "refresh,events,keys init,migrate,contract,sign,help",
        "TIKTOK_SHOP_STORAGE=postgres://u:CANARY@127.0.0.1:1/db?sslmod=disable",
    ),
    (
        "database: unsupported parameter",
        "refresh,events,keys init,migrate,contract,sign,help",
        "TIKTOK_SHOP_STORAGE=postgres://u@127.0.0.1:1/db?target_session_attrs=any",
    ),
    (
        "database: wrong value of a parameter",
        "refresh,events,keys init,migrate,contract,sign,help",
        "TIKTOK_SHOP_STORAGE=postgres://u@127.0.0.1:1/db?pool-size=CANARY",
    ),
    (
        "database: unverified server",
        "refresh,events,keys init,migrate,contract,sign,help",
        "TIKTOK_SHOP_STORAGE=postgres://u:CANARY@db.example/db?sslmode=require",
    ),
    ("database: password in an argument", "database", "--storage postgres://u:CANARY@127.0.0.1:1/db"),
    ("database: variable of PostgreSQL", "database", "--storage postgres://u@127.0.0.1:1/db PGOPTIONS=CANARY"),
    // The host keys.
    ("key file: empty option", "storage,keys init", "--key-file={empty}"),
    ("key file: missing", "storage", "--key-file {files}/missing"),
    ("key file: missing, in a variable", "storage", "TIKTOK_SHOP_KEY_FILE={files}/missing"),
    ("key file: missing folder", "keys init", "--key-file {files}/missing/file"),
    ("key file: folder", "storage,keys init", "--key-file {files}/folder"),
    ("key file: link to itself", "storage,keys init", "--key-file {files}/loop"),
    ("key file: path below a file", "storage,keys init", "--key-file {files}/text/x"),
    ("key file: too long a path", "storage,keys init", "--key-file {long}"),
    ("key file: readable by others", "storage,keys init", "--key-file {files}/readable"),
    ("key file: writable by others", "storage,keys init", "--key-file {files}/writable"),
    ("key file: in a folder of others", "storage,keys init", "--key-file {files}/open/file"),
    ("key file: new, in a folder of others", "keys init", "--key-file {files}/open/new"),
    ("key file: unreadable", "storage,keys init", "--key-file {files}/unreadable"),
    ("key file: empty", "storage", "--key-file {files}/empty"),
    ("key file: not keys", "storage", "--key-file {files}/text"),
    ("key file: not UTF-8", "storage", "--key-file {files}/not-utf-8"),
    ("key file: key of zeros", "storage", "--key-file {files}/zero-keys"),
    ("key file: other bytes under the same name", "storage", "--key-file {files}/wrong-keys"),
    ("key file: another key", "storage", "--key-file {files}/other-keys"),
    (
        "key file: and keys in a variable",
        "storage,keys init",
        "--key-file {files}/other-keys TIKTOK_SHOP_HOST_KEYS={key}",
    ),
    ("host keys: not keys", "refresh,events,keys init,migrate,contract,sign,help", "TIKTOK_SHOP_HOST_KEYS=CANARY"),
    ("host keys: another key", "storage,keys init", "TIKTOK_SHOP_HOST_KEYS={key}"),
    (
        "host keys: none for a named database",
        "storage",
        "!TIKTOK_SHOP_FAKE XDG_DATA_HOME={files}/folder --storage sqlite:{data}/connections.sqlite",
    ),
    (
        "host keys: none for a server",
        "storage",
        "!TIKTOK_SHOP_FAKE XDG_DATA_HOME={files}/folder --storage postgres://user@127.0.0.1:1/db",
    ),
    (
        "host keys: only the default ones for a server",
        "storage",
        "!TIKTOK_SHOP_FAKE --storage postgres://user@127.0.0.1:1/db",
    ),
    ("key service: token without a service", "storage", "TIKTOK_SHOP_KEY_SERVICE_TOKEN=CANARY"),
    ("key service: without a token", "storage,keys init", "!TIKTOK_SHOP_FAKE --config {files}/key-service.toml"),
    ("key service: with a fake", "storage,keys init", "--config {files}/key-service.toml"),
    (
        "key service: refused",
        "storage",
        "!TIKTOK_SHOP_FAKE --config {files}/key-service.toml TIKTOK_SHOP_KEY_SERVICE_TOKEN=CANARY",
    ),
    // The component.
    ("component: empty option", "component", "--component={empty}"),
    ("component: missing", "component", "--component {files}/missing"),
    ("component: folder", "component", "--component {files}/folder"),
    ("component: link to itself", "component", "--component {files}/loop"),
    ("component: device", "component", "--component /dev/zero"),
    ("component: too long a path", "component", "--component {long}"),
    ("component: empty file", "component", "--component {files}/empty"),
    ("component: not a component", "component", "--component {files}/text"),
    ("component: core module", "component", "--component {files}/module.wasm"),
    ("component: another component", "component", "--component {files}/other.wasm"),
    ("component: too large", "component", "--component {files}/large"),
    ("component: readable by others", "component", "--component {files}/readable"),
    ("component: writable by others", "component", "--component {files}/writable"),
    ("component: in a folder of others", "component", "--component {files}/open/file"),
    ("component: unreadable", "component", "--component {files}/unreadable"),
    ("component: another digest", "component", "--component {component} --component-sha256 {digest}"),
    ("component: another digest, in the configuration file", "component", "--config {files}/digest.toml"),
    ("component: not a digest", "component", "--component-sha256 CANARY"),
    (
        "component: not a digest, in a variable",
        "refresh,events,keys init,migrate,contract,sign,help",
        "TIKTOK_SHOP_COMPONENT_SHA256=CANARY",
    ),
    // The tenant and its app.
    ("tenant: empty", "component,events", "--tenant={empty}"),
    ("tenant: hostile", "component,events", "--tenant=CANARY{esc}"),
    ("tenant: too long", "component,events", "--tenant={long}"),
    ("tenant: unknown", "component,events,keys erase", "TIKTOK_SHOP_TENANT=unknown"),
    ("tenant: of a command for all tenants", "storage", "TIKTOK_SHOP_TENANT=default"),
    ("app: key without a secret", "storage", "TIKTOK_SHOP_APP_KEY=CANARY"),
    ("app: secret without a key", "storage", "TIKTOK_SHOP_APP_SECRET=CANARY"),
    ("app: not of the fake", "storage", "TIKTOK_SHOP_APP_KEY=CANARY TIKTOK_SHOP_APP_SECRET=CANARY"),
    ("actor: empty", "storage", "--actor={empty}"),
    ("actor: hostile", "storage", "--actor=CANARY{esc}"),
    ("actor: too long", "storage", "--actor={long}"),
    ("reason: empty", "storage", "--reason={empty}"),
    ("reason: hostile", "storage", "--reason=CANARY{esc}"),
    ("reason: too long", "storage", "--reason={long}"),
    // The proxy.
    (
        "proxy: no port",
        "refresh,events,keys init,migrate,contract,sign,help",
        "TIKTOK_SHOP_PROXY=http://u:CANARY@proxy.example",
    ),
    (
        "proxy: unknown scheme",
        "refresh,events,keys init,migrate,contract,sign,help",
        "TIKTOK_SHOP_PROXY=ftp://u:CANARY@proxy.example:1",
    ),
    ("proxy: with a fake", "storage", "TIKTOK_SHOP_PROXY=http://u:CANARY@127.0.0.1:1"),
    ("proxy: certificates without a proxy", "storage", "TIKTOK_SHOP_PROXY_CERTIFICATES={files}/text"),
    (
        "proxy: missing certificates",
        "storage",
        "!TIKTOK_SHOP_FAKE TIKTOK_SHOP_PROXY=https://127.0.0.1:1 TIKTOK_SHOP_PROXY_CERTIFICATES={files}/missing",
    ),
    (
        "proxy: no certificates in the file",
        "storage",
        "!TIKTOK_SHOP_FAKE TIKTOK_SHOP_PROXY=https://127.0.0.1:1 TIKTOK_SHOP_PROXY_CERTIFICATES={files}/text",
    ),
    (
        "proxy: certificates for http",
        "storage",
        "!TIKTOK_SHOP_FAKE TIKTOK_SHOP_PROXY=http://127.0.0.1:1 TIKTOK_SHOP_PROXY_CERTIFICATES={files}/text",
    ),
    // The input.
    ("input: empty", "connect,sign,verify-webhook", "<empty"),
    ("input: blank", "connect,sign,verify-webhook", "<blank"),
    ("input: not JSON", "connect,sign,verify-webhook", "<text"),
    ("input: another object", "connect,sign,verify-webhook", "<object"),
    ("input: an array", "connect,sign,verify-webhook", "<array"),
    ("input: a wrong member", "sign,verify-webhook", "<wrong-member"),
    ("input: not UTF-8", "connect,sign,verify-webhook", "<not-utf-8"),
    ("input: null character", "connect,sign,verify-webhook", "<null"),
    ("input: 17 MiB", "connect,webhook,sign,verify-webhook", "<long"),
];

/// Wrong arguments: the name of the mistake, and the whole line of arguments. The first word of the line names the
/// command. If the line begins with `keys` or `api-keys`, the first two words do.
const LINES: &[(&str, &str)] = &[
    ("unknown command", "CANARY"),
    ("unknown command", "keys CANARY"),
    ("unknown command", "man CANARY"),
    ("unknown command", "help CANARY"),
    ("unknown command", "completions CANARY"),
    ("missing argument", "authorization-url"),
    ("missing argument", "import"),
    ("missing argument", "export"),
    ("missing argument", "export grants.jsonl"),
    ("export to standard output", "export - customer-7"),
    ("export to a file that exists", "export {files}/text customer-7"),
    ("export to a missing folder", "export {files}/missing/file customer-7"),
    ("missing argument", "refresh"),
    ("missing argument", "list-shops"),
    ("missing argument", "list-connections"),
    ("missing argument", "link-shops"),
    ("missing argument", "link-shops customer-7"),
    ("missing argument", "access-token"),
    ("missing argument", "call"),
    ("missing argument", "call customer-7"),
    ("missing argument", "call customer-7 GET"),
    ("missing argument", "call customer-7 GET /p --content-type t"),
    ("missing argument", "disconnect"),
    ("missing argument", "disconnect customer-7 --yes"),
    ("missing argument", "webhook"),
    ("missing argument", "connect --shops all"),
    ("missing argument", "keys promote"),
    ("missing argument", "keys rotate --retire"),
    ("missing argument", "keys retire"),
    ("missing argument", "keys erase"),
    ("missing argument", "keys erase --tenant default"),
    ("missing argument", "contract"),
    ("missing argument", "inspect"),
    ("missing argument", "completions"),
    ("missing argument", "probe --report"),
    ("missing argument", "events --limit"),
    ("missing argument", "sweep --concurrency"),
    ("missing argument", "fake --port"),
    ("missing argument", "serve --listen"),
    ("missing argument", "api-keys create"),
    ("missing argument", "api-keys create --name billing"),
    ("missing argument", "webhook-secret --name main"),
    ("missing argument", "authorization-url customer-7 --consent-as seller !TIKTOK_SHOP_FAKE"),
    ("unexpected argument", "refresh customer-7 CANARY"),
    ("unexpected argument", "connect code=CANARY&state=CANARY"),
    ("unexpected argument", "events CANARY"),
    ("unexpected argument", "sweep CANARY"),
    ("unexpected argument", "keys init CANARY"),
    ("unexpected argument", "keys status CANARY"),
    ("unexpected argument", "keys add CANARY"),
    ("unexpected argument", "migrate CANARY"),
    ("unexpected argument", "fake CANARY"),
    ("unexpected argument", "serve CANARY"),
    ("unexpected argument", "check-config CANARY"),
    ("unexpected argument", "api-keys CANARY"),
    ("unexpected argument", "sign CANARY"),
    ("unexpected argument", "verify-webhook CANARY"),
    ("empty argument", "authorization-url {empty}"),
    ("empty argument", "connect --app-store={empty}"),
    ("empty argument", "refresh {empty}"),
    ("empty argument", "refresh customer-7 --account={empty}"),
    ("empty argument", "list-shops {empty}"),
    ("empty argument", "list-connections {empty}"),
    ("empty argument", "link-shops {empty} 1"),
    ("empty argument", "link-shops customer-7 {empty}"),
    ("empty argument", "access-token {empty}"),
    ("empty argument", "call {empty} GET /p"),
    ("empty argument", "call customer-7 {empty} /p"),
    ("empty argument", "call customer-7 GET /p --shop={empty}"),
    ("empty argument", "call customer-7 PUT /p --body-file={empty}"),
    ("empty argument", "disconnect {empty}"),
    ("empty argument", "events --limit={empty}"),
    ("empty argument", "keys promote {empty}"),
    ("empty argument", "keys retire {empty}"),
    ("empty argument", "contract {empty}"),
    ("empty argument", "inspect {empty}"),
    ("empty argument", "completions {empty}"),
    ("empty argument", "man {empty}"),
    ("empty argument", "fake --port={empty}"),
    ("empty argument", "serve --listen={empty}"),
    ("empty argument", "api-keys create --name={empty} --scopes read"),
    ("hostile argument", "authorization-url CANARY{esc}"),
    ("hostile argument", "connect --app-store=CANARY{esc} <callback"),
    ("hostile argument", "link-shops customer-7 CANARY{esc}"),
    ("hostile argument", "call customer-7 CANARY{esc} /p"),
    ("hostile argument", "call customer-7 GET /p --query CANARY{esc}"),
    ("hostile argument", "call customer-7 PUT /p --body-file files/a{esc}"),
    ("hostile argument", "keys promote CANARY{esc}"),
    ("hostile argument", "keys retire CANARY{esc}"),
    ("hostile argument", "contract CANARY{esc}"),
    ("hostile argument", "inspect files/a{esc}"),
    ("hostile argument", "completions CANARY{esc}"),
    ("hostile argument", "man CANARY{esc}"),
    ("hostile argument", "serve --public-address=https://CANARY{esc}"),
    ("hostile argument", "--hostile{esc}"),
    ("too long an argument", "authorization-url {long}"),
    ("too long an argument", "connect --app-store {long} <callback"),
    ("too long an argument", "refresh {long}"),
    ("too long an argument", "refresh customer-7 --account {long}"),
    ("too long an argument", "list-shops {long}"),
    ("too long an argument", "list-connections {long}"),
    ("too long an argument", "link-shops {long} 1"),
    ("too long an argument", "link-shops customer-7 {long}"),
    ("too long an argument", "access-token {long}"),
    ("too long an argument", "call {long} GET /p"),
    ("too long an argument", "call customer-7 {long} /p"),
    ("too long an argument", "call customer-7 PUT /p --body-file {long}"),
    ("too long an argument", "disconnect {long}"),
    ("too long an argument", "disconnect customer-7 --shop {long}"),
    ("too long an argument", "events --limit {long}"),
    ("too long an argument", "keys promote {long}"),
    ("too long an argument", "keys retire {long}"),
    ("too long an argument", "contract sqlite:{long}"),
    ("too long an argument", "inspect {long}"),
    ("too long an argument", "completions {long}"),
    ("too long an argument", "man {long}"),
    ("too long an argument", "{long}"),
    ("wrong tenant", "keys erase --tenant={empty}"),
    ("wrong tenant", "keys erase --tenant=CANARY{esc}"),
    ("wrong tenant", "keys erase --tenant={long}"),
    ("wrong tenant", "keys erase --tenant unknown"),
    ("wrong number", "access-token customer-7 --min-validity=-1"),
    ("wrong number", "events --limit 0"),
    ("wrong number", "events --limit many"),
    ("wrong number", "events --after 18446744073709551616"),
    ("wrong number", "list-connections --tenant-wide --limit 0"),
    ("wrong number", "sweep --concurrency 0"),
    ("wrong number", "sweep --concurrency 101"),
    ("wrong number", "keys rotate --wait=-1"),
    ("wrong number", "keys rotate --wait many"),
    ("wrong number", "fake --port 65536"),
    ("wrong number", "fake --port many"),
    ("arguments that exclude each other", "refresh customer-7 --account a --account b"),
    ("arguments that exclude each other", "events --limit 1 --all"),
    ("arguments that exclude each other", "call customer-7 GET /p --shop 1 --account a"),
    ("arguments that exclude each other", "disconnect customer-7 --shop 1 --account a"),
    ("arguments that exclude each other", "list-connections customer-7 --tenant-wide"),
    ("arguments that exclude each other", "link-shops customer-7 1 --none"),
    ("file as an argument", "call customer-7 PUT /p --body-file {files}/missing"),
    ("file as an argument", "call customer-7 PUT /p --body-file {files}/folder"),
    ("file as an argument", "call customer-7 PUT /p --body-file {files}/loop"),
    ("file as an argument", "call customer-7 PUT /p --body-file - <long"),
    ("file as an argument", "inspect {files}/missing"),
    ("file as an argument", "inspect {files}/folder"),
    ("file as an argument", "inspect {files}/loop"),
    ("file as an argument", "inspect /dev/zero"),
    ("database as an argument", "contract CANARY"),
    ("database as an argument", "contract sqlite:"),
    ("database as an argument", "contract sqlite:{files}/missing/file"),
    ("database as an argument", "contract sqlite:{files}/missing/file --create"),
    ("database as an argument", "contract sqlite:{files}/folder"),
    ("database as an argument", "contract sqlite:{files}/empty"),
    ("database as an argument", "contract sqlite:{files}/text"),
    ("database as an argument", "contract sqlite:{files}/text --create"),
    ("database as an argument", "contract sqlite:{files}/other-program.sqlite"),
    ("database as an argument", "contract sqlite:{files}/older.sqlite"),
    ("database as an argument", "contract sqlite:{files}/newer.sqlite"),
    ("database as an argument", "contract sqlite:{files}/writable"),
    ("database as an argument", "contract sqlite:{data}/fake-connections.sqlite"),
    ("database as an argument", "contract postgres://user@127.0.0.1:1/db"),
    ("database as an argument", "contract postgres://u:CANARY@127.0.0.1:1/db"),
    ("name that does not exist", "keys promote none"),
    ("name that does not exist", "keys retire none"),
    ("name that does not exist", "keys promote first"),
    ("name that does not exist", "keys retire first"),
    ("name that does not exist", "keys erase --tenant unknown --yes"),
    ("redirect of the fake", "fake --port 0 --redirect nowhere"),
    ("address of the service", "serve --listen 4020"),
    ("address of the service", "serve --public-address http://connect.example"),
    ("address of the service", "serve --public-address https://connect.example/path"),
    ("two fakes", "serve --with-fake"),
    ("two addresses for browsers", "serve --with-fake --public-address https://connect.example"),
    ("unknown scope", "api-keys create --name billing --scopes read,CANARY"),
    ("insecure address", "webhook-secret --name main --address http://CANARY.example"),
];

/// Every variable, with a right value. The test tries each of them with the values in [`FORMS`].
const VARIABLES: [(&str, &str); 21] = [
    ("TIKTOK_SHOP_STORAGE", "sqlite:.local/share/tiktok-shop-harness/fake-connections.sqlite"),
    ("TIKTOK_SHOP_CONTRACT_STORAGE", "sqlite:files/missing.sqlite"),
    ("TIKTOK_SHOP_HOST_KEYS", "{key}"),
    ("TIKTOK_SHOP_KEY_SERVICE_TOKEN", "CANARY-token"),
    ("TIKTOK_SHOP_KEY_SERVICE_SECRET_ID", "CANARY-secret-id"),
    ("TIKTOK_SHOP_PROXY", "http://user:CANARY@127.0.0.1:1"),
    ("TIKTOK_SHOP_PROXY_CERTIFICATES", "files/text"),
    ("TIKTOK_SHOP_APP_KEY", "CANARY-key"),
    ("TIKTOK_SHOP_APP_SECRET", "CANARY-secret"),
    ("TIKTOK_SHOP_PREVIOUS_APP_SECRET", "CANARY-secret"),
    ("TIKTOK_SHOP_AUTHORIZATION_LINK", "https://services.tiktokshop.com/open/authorize?service_id=1"),
    ("TIKTOK_SHOP_TENANT", "default"),
    ("TIKTOK_SHOP_KEY_FILE", ".local/share/tiktok-shop-harness/fake-host-keys"),
    ("TIKTOK_SHOP_FILE_ACCESS", "owner"),
    ("TIKTOK_SHOP_CONFIG", "files/empty"),
    ("TIKTOK_SHOP_FAKE", "http://127.0.0.1:1"),
    ("TIKTOK_SHOP_LISTEN", "127.0.0.1:0"),
    ("TIKTOK_SHOP_PUBLIC_ADDRESS", "https://connect.example"),
    ("TIKTOK_SHOP_ACTOR", "ana"),
    ("TIKTOK_SHOP_COMPONENT", "files/text"),
    ("TIKTOK_SHOP_COMPONENT_SHA256", "{digest}"),
];

/// The wrong forms of a value: `{value}` is a right value. A line break at the end is not wrong.
const FORMS: [(&str, &str); 7] = [
    ("empty", "{empty}"),
    ("blank", "{blank}"),
    ("with a line break at its end", "{value}{lf}"),
    ("with a line break inside", "{value}{lf}{value}"),
    ("with an invisible character", "{value}{zwsp}"),
    ("not UTF-8", "{value}{not-utf-8}"),
    ("too long", "{long}"),
];
/// The number of commands that are tried with each form of each variable. They are chosen in turn, so that each command
/// meets each form.
const TRIED: usize = 2;

/// The host keys of the stage. The first one wraps its data key.
const KEYS: &str = "first:6d0d6b9a7f0c4f3f9d4c8c1e5a2b7d90813e64f5c2a9b7d8e1f03a4b5c6d7e8f\n\
                    second:0f1e2d3c4b5a69788796a5b4c3d2e1f00112233445566778899aabbccddeeff0\n";
/// A host key that opens nothing of the stage.
const OTHER_KEY: &str = "other:a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f91";
/// A digest that no component has.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The length of the longest argument that is tried. Linux refuses to start a program with a longer one than 128 KiB.
const LONG: usize = 120_000;
/// The file with the expected answers. The test writes the found ones beside other temporary files.
const EXPECTED: &str = include_str!("mistakes.txt");

/// A command with a mistake.
struct Row {
    /// The name of the mistake, what is changed, and which commands are tried.
    heading: String,
    /// The name of the command. For wrong arguments, the whole line.
    label: String,
    /// The arguments, and the changes.
    words: String,
    /// The words of the same command without the mistake. `None` for wrong arguments.
    right: Option<String>,
}

/// What all rows share.
struct Place {
    /// The home folder that is copied for each row.
    template: PathBuf,
    /// The folder of these copies.
    copies: TempDir,
    next: AtomicUsize,
    fake: SocketAddr,
    /// The address of a web server that is no fake.
    stranger: SocketAddr,
    component: PathBuf,
    sha256: String,
    canaries: Canaries,
}

/// Writes a file with this mode.
fn write(path: PathBuf, content: impl AsRef<[u8]>, mode: u32) {
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
}

/// Creates a private folder, and the folders above it.
fn create_folder(path: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).unwrap();
}

/// Fills the home folder of a stage: a connection, whose host keys have known names, and files that can't be used.
fn furnish(stage: &Stage) {
    let (data, files) = (stage.data(""), stage.home().join("files"));
    create_folder(&data);
    create_folder(&files);
    write(data.join("fake-host-keys"), KEYS, 0o600);
    stage.connect("customer-7", "one-shop");
    // The same connection, as if it were one of TikTok Shop.
    write(data.join("host-keys"), KEYS, 0o600);
    // The file is complete only after SQLite has moved its log there.
    execute_sqlite(&data.join("fake-connections.sqlite"), "PRAGMA wal_checkpoint(TRUNCATE)");
    let used = fs::read(data.join("fake-connections.sqlite")).unwrap();
    let database = |name: &str, sql: &str| {
        write(files.join(name), &used, 0o600);
        write(files.join(format!("{name}.lock")), "", 0o600);
        execute_sqlite(&files.join(name), sql);
    };
    database("tiktok-shop.sqlite", "UPDATE tiktok_shop_environment SET name = 'tiktok-shop'");
    for suffix in ["", ".lock"] {
        let moved = data.join(format!("connections.sqlite{suffix}"));
        fs::rename(files.join(format!("tiktok-shop.sqlite{suffix}")), moved).unwrap();
    }
    for name in ["fake-host-keys.lock", "host-keys.lock"] {
        write(data.join(name), "", 0o600);
    }
    database("older.sqlite", UNDO_NEWEST);
    database("newer.sqlite", &ADD_NEWER.replace("CHECKSUM", "X'00'"));
    database("locked.sqlite", "PRAGMA journal_mode = DELETE");
    // The first 100 bytes are the header, which says that the file is a database.
    let damaged: Vec<u8> = used.iter().enumerate().map(|(at, byte)| if at < 100 { *byte } else { 0xff }).collect();
    write(files.join("damaged.sqlite"), damaged, 0o600);
    write(files.join("damaged.sqlite.lock"), "", 0o600);
    write(files.join("other-program.sqlite"), "", 0o600);
    execute_sqlite(&files.join("other-program.sqlite"), "CREATE TABLE others (id INTEGER)");

    create_folder(&files.join("folder"));
    create_folder(&files.join("open"));
    write(files.join("open/file"), "", 0o600);
    fs::set_permissions(files.join("open"), Permissions::from_mode(0o777)).unwrap();
    symlink("loop", files.join("loop")).unwrap();
    let (other, zeros) = (format!("{OTHER_KEY}\n"), format!("first:{NO_DIGEST}\n"));
    let wrong = other.replace("other:", "first:");
    let text = "CANARY: this text is long enough to be looked at. ".repeat(40);
    let texts: [(&str, &[u8], u32); 18] = [
        ("text", text.as_bytes(), 0o600),
        ("empty", b"", 0o600),
        ("readable", b"", 0o644),
        ("writable", b"", 0o666),
        ("unreadable", b"", 0),
        ("not-utf-8", b"CANARY\xff", 0o600),
        ("unknown-member.toml", b"app-secret = \"CANARY\"\n", 0o600),
        ("wrong-type.toml", b"[tenants.default]\napp-secret = 7\n", 0o600),
        ("wrong-database.toml", b"storage = \"CANARY\"\n", 0o600),
        ("no-secret.toml", b"[tenants.default]\napp-key = \"CANARY\"\n", 0o600),
        ("wrong-proxy.toml", b"[egress]\nproxy = \"http://u:CANARY@proxy.example\"\n", 0o600),
        ("wrong-key-service.toml", b"[key-service]\naddress = \"CANARY\"\n", 0o600),
        ("key-service.toml", b"[key-service]\naddress = \"http://127.0.0.1:1\"\nauth = \"token\"\n", 0o600),
        ("zero-keys", zeros.as_bytes(), 0o600),
        ("wrong-keys", wrong.as_bytes(), 0o600),
        ("other-keys", other.as_bytes(), 0o600),
        ("module.wasm", b"\0asm\x01\0\0\0", 0o600),
        ("other.wasm", b"\0asm\x0d\0\x01\0", 0o600),
    ];
    for (name, content, mode) in texts {
        write(files.join(name), content, mode);
    }
    write(files.join("digest.toml"), format!("component-sha256 = \"{NO_DIGEST}\"\n"), 0o600);
}

/// Starts a web server that is no fake. It answers until the process ends.
fn stranger() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let _read = client.read(&mut request);
            let _closed = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    address
}

/// Copies a home folder. A large file is copied only if `words` names it.
fn copy(from: &Path, to: &Path, words: &str) {
    create_folder(to);
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let found = fs::symlink_metadata(&path).unwrap();
        let name = entry.file_name().into_string().unwrap();
        if found.is_symlink() {
            symlink(fs::read_link(&path).unwrap(), &target).unwrap();
        } else if found.is_dir() {
            copy(&path, &target, words);
            fs::set_permissions(&target, found.permissions()).unwrap();
        } else if name == "unreadable" {
            write(target, "", 0);
        } else if !name.ends_with(".sqlite") || !from.ends_with("files") || words.contains(&name) {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Returns the mode and the content of every file below a folder. SQLite's temporary files are left out if they are
/// empty, and its index of the log always.
fn listing(folder: &Path, found: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        if metadata.is_dir() {
            listing(&path, found);
        }
        let name = path.to_string_lossy();
        let is_empty_log = name.ends_with("-wal") && content.is_empty();
        if !is_empty_log && !name.ends_with("-shm") {
            found.insert(path, (metadata.permissions().mode(), content));
        }
    }
}

fn listed(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    listing(folder, &mut found);
    found
}

/// Returns an input.
fn input(name: &str) -> Vec<u8> {
    let text: &[u8] = match name {
        "callback" => b"https://platform.example/callback?code=CANARY-code&state=CANARY-state",
        "object" => b"{}",
        "line" => b"{\"customer\": \"customer-7\", \"refresh-token\": \"CANARY-token\"}",
        "request" => {
            b"{\"app_key\": \"k\", \"app_secret\": \"CANARY\", \"timestamp\": 1623812664, \"path\": \"/a/202309/b\"}"
        }
        "webhook" => b"{\"app_key\": \"k\", \"app_secret\": \"CANARY\", \"body\": \"{}\", \"authorization\": \"00\"}",
        "empty" => b"",
        "blank" => b" \r\n",
        "text" => b"CANARY",
        "array" => b"[]",
        "wrong-member" => b"{\"app_key\": 7, \"app_secret\": \"CANARY\"}",
        "not-utf-8" => b"{\"app_key\": \"CANARY\xff\"}",
        "null" => b"code=CANARY\0",
        "long" => return vec![b'a'; 17 << 20],
        other => panic!("there is no input {other}"),
    };
    text.to_vec()
}

impl Place {
    /// Replaces the words in braces.
    fn filled(&self, text: &str, home: &Path) -> OsString {
        let long = "x".repeat(LONG);
        let (home, fake) = (home.to_str().unwrap(), self.fake.to_string());
        let text = [
            ("{files}", "{home}/files"),
            ("{data}", "{home}/.local/share/tiktok-shop-harness"),
            ("{home}", home),
            ("{fake}", &*fake),
            ("{stranger}", &*self.stranger.to_string()),
            ("{component}", self.component.to_str().unwrap()),
            ("{digest}", NO_DIGEST),
            ("{key}", OTHER_KEY),
            ("{long}", &*long),
            ("{empty}", ""),
            ("{blank}", " "),
            ("{lf}", "\n"),
            ("{zwsp}", "\u{200b}"),
            ("{esc}", "\u{1b}[2J\n\u{202e}"),
        ]
        .into_iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        let parts: Vec<_> = text.split("{not-utf-8}").map(str::as_bytes).collect();
        OsString::from_vec(parts.join(&0xff))
    }

    /// The reverse of [`filled`](Self::filled), for the output of a command. Also replaces what is random, and the text
    /// of the engine.
    fn normal(&self, text: &[u8], home: &Path) -> String {
        let long = "x".repeat(LONG);
        let home = home.to_str().unwrap();
        let text = [
            (&*format!("{home}/.local/share/tiktok-shop-harness"), "{data}"),
            (&*format!("{home}/files"), "{files}"),
            (home, "{home}"),
            (&*self.fake.to_string(), "{fake}"),
            (&*self.stranger.to_string(), "{stranger}"),
            (self.component.to_str().unwrap(), "{component}"),
            (&*self.sha256, "{sha256}"),
            (&*long, "{long}"),
        ]
        .into_iter()
        .fold(String::from_utf8_lossy(text).into_owned(), |text, (from, to)| text.replace(from, to));
        without_random(&without_engine(&text))
    }

    /// Runs a command in its own home folder. If it prints an error, checks that it has changed nothing on the disk.
    fn attempt(&self, words: &str, first: &[&str]) -> Run {
        let home = self.copies.path().join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        copy(&self.template, &home, words);
        if words.contains("{files}/large") {
            let large = home.join("files/large");
            write(large.clone(), "", 0o600);
            File::options().write(true).open(large).unwrap().set_len((4 << 20) + 1).unwrap();
        }
        let mut program = command(PROGRAM);
        at_home(&mut program, &home);
        program.env("TIKTOK_SHOP_FAKE", format!("http://{}", self.fake));
        program.env("TIKTOK_SHOP_COMPONENT", home.join("files/text"));
        program.env("TIKTOK_SHOP_ACTOR", ACTOR);
        program.args(first);
        let given = self.change(&mut program, words, &home);
        let before = listed(&home);
        let output = if words.contains("locked.sqlite") {
            while_locked(&home.join("files/locked.sqlite"), || crate::output_of(program, given))
        } else {
            crate::output_of(program, given)
        };
        let after = listed(&home);
        let printed = [&*output.stdout, &*output.stderr].concat();
        let is_error = output.stderr.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"error: "));
        let changed: Vec<_> = after.iter().filter(|(path, found)| before.get(*path) != Some(*found)).collect();
        let changed: Vec<_> = changed
            .into_iter()
            .map(|(path, _)| path)
            .chain(before.keys().filter(|path| !after.contains_key(*path)))
            .collect();
        assert!(!is_error || changed.is_empty(), "{words}: changed {changed:?}");
        assert!(!String::from_utf8_lossy(&printed).contains("CANARY"), "{words}: a secret is printed");
        let secrets: Vec<_> = self.canaries.found_in(&printed).iter().map(ToString::to_string).collect();
        assert_eq!(secrets, [""; 0], "{words}");
        let (stdout, stderr) = (self.normal(&output.stdout, &home), self.normal(&output.stderr, &home));
        fs::remove_dir_all(&home).unwrap();
        Run { status: output.status.code(), stdout, stderr }
    }

    /// Makes the changes, and returns the input.
    fn change(&self, program: &mut Command, words: &str, home: &Path) -> Vec<u8> {
        let mut given = Vec::new();
        for word in words.split_whitespace() {
            let is_name = |name: &str| {
                name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
            };
            if let Some((name, value)) = word.split_once('=').filter(|(name, _)| is_name(name)) {
                program.env(name, self.filled(value, home));
            } else if let Some(name) = word.strip_prefix('!') {
                program.env_remove(name);
            } else if let Some(name) = word.strip_prefix('<') {
                given = input(name);
            } else {
                program.arg(self.filled(word, home));
            }
        }
        given
    }
}

/// Runs something while another connection has locked an SQLite file.
fn while_locked<T>(path: &Path, run: impl FnOnce() -> T) -> T {
    Runtime::new().unwrap().block_on(async {
        let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        connection.execute("BEGIN EXCLUSIVE").await.unwrap();
        let result = run();
        connection.close().await.unwrap();
        result
    })
}

/// Replaces the words of the engine about a file that is no component.
fn without_engine(text: &str) -> String {
    let (begin, end) = ("not a component: ", "; expected the component");
    match text.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1))) {
        Some((before, after)) => format!("{before}{begin}{{engine}}{end}{after}"),
        None => text.to_owned(),
    }
}

/// Replaces what is random: a part of the names of host keys, API keys and their digests, and the secrets of webhooks.
fn without_random(text: &str) -> String {
    let mut text = text.to_owned();
    for (before, length) in [("host-", 16), ("ttsk_", 72), ("sha256 = \"", 64), ("whsec_", 44)] {
        let mut parts = text.split(before);
        let mut replaced = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
            let is_digit = |byte: &u8| if before == "whsec_" { is_base64(byte) } else { byte.is_ascii_hexdigit() };
            let digits = part.bytes().take_while(is_digit).count();
            let (random, rest) = if digits == length { ("{random}", &part[length..]) } else { ("", part) };
            replaced += &format!("{before}{random}{rest}");
        }
        text = replaced;
    }
    text
}

/// Returns the names of the commands that a group contains.
fn group(names: &str) -> Vec<&'static str> {
    let is_in = |name: &str, reads: Reads, part: &str| match part {
        "every" => true,
        "configuration" => reads >= Configuration,
        "database" => reads >= Database,
        "storage" => reads >= Storage,
        "component" => reads >= Component,
        other => other == name,
    };
    let found: Vec<_> =
        COMMANDS.iter().filter(|(name, reads, _)| names.split(',').any(|part| is_in(name, *reads, part))).collect();
    assert!(!found.is_empty(), "{names}");
    found.into_iter().map(|(name, _, _)| *name).collect()
}

/// Returns the words of a command without a mistake.
fn right(name: &str) -> String {
    let (_, _, arguments) = COMMANDS.iter().find(|(known, _, _)| *known == name).unwrap();
    format!("{name} {arguments}")
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (mistake, names, changes) in MISTAKES {
        let heading = format!("## {mistake} | {names} | {changes}");
        rows.extend(group(names).into_iter().map(|name| Row {
            heading: heading.clone(),
            label: name.to_owned(),
            words: format!("{} {changes}", right(name)),
            right: Some(right(name)),
        }));
    }
    rows.extend(LINES.iter().map(|(mistake, line)| Row {
        heading: format!("## {mistake}"),
        label: (*line).to_owned(),
        words: (*line).to_owned(),
        right: None,
    }));
    let mut names = COMMANDS.iter().map(|(name, _, _)| *name).cycle();
    for (variable, value) in VARIABLES {
        for (form, pattern) in FORMS {
            let changes = format!("{variable}={}", pattern.replace("{value}", value));
            for name in names.by_ref().take(TRIED) {
                // A line break at the end must change nothing, so the value without it is the right one.
                let is_right = pattern == "{value}{lf}";
                let unchanged = if is_right { format!("{variable}={value}") } else { String::new() };
                rows.push(Row {
                    heading: format!("## {variable}: {form} | {changes}"),
                    label: name.to_owned(),
                    words: format!("{} {changes}", right(name)),
                    right: Some(format!("{} {unchanged}", right(name))),
                });
            }
        }
    }
    rows
}

/// Calls a function with every item, on several threads. Returns the results in the order of the items.
fn on_threads<T: Sync, R: Send>(items: &[T], run: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some((at, item)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, items.get(at)?)))
                {
                    let result = run(item);
                    results.lock().unwrap().insert(at, result);
                }
            });
        }
    });
    results.into_inner().unwrap().into_values().collect()
}

/// Describes an answer as in `mistakes.txt`. Checks that an operator can use it.
fn described(row: &Row, Run { status, stdout, stderr }: &Run) -> String {
    let label = &*row.label;
    let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    let others = stderr.lines().filter(|line| !line.starts_with("error: "));
    for line in others {
        assert!(line.starts_with("note: ") || line.starts_with("warning: "), "{label}: {line}");
    }
    match (errors.len(), *status) {
        (0, Some(0)) => {}
        // Only this command shows results although something is wrong.
        (0 | 1, Some(1..)) if label == "keys status" => assert!(errors.len() == 1 || !stdout.is_empty()),
        (1, Some(1..)) if row.words.contains("--json") => {
            let printed: Value = serde_json::from_str(stdout).unwrap();
            assert!(printed["error"].is_object(), "{label}: {stdout}");
        }
        (1, Some(1..)) => assert_eq!(stdout, "", "{label}"),
        _ => panic!("{label}: {status:?} {stderr}"),
    }
    for notation in ["panicked", "Some(", "Ok(", "Err(", "..=", "\u{1b}"] {
        assert!(!stderr.contains(notation), "{label}: {stderr}");
    }
    let results = if stdout.is_empty() { "" } else { ", with results" };
    let lines: String = stderr.lines().map(|line| format!("    {line}\n")).collect();
    format!("{}{results}\n{lines}", status.unwrap_or(-1))
}

/// Checks that the JSON object says the same as the line.
fn check_json(place: &Place, row: &Row, answer: &Run) {
    let Run { status, stdout, stderr } = place.attempt(&row.words, &["--json"]);
    assert_eq!((status, &*stderr), (answer.status, &*answer.stderr), "{}", row.words);
    let printed: Value = serde_json::from_str(stdout.lines().last().unwrap_or_default()).unwrap();
    let error = &printed["error"];
    assert_eq!(error["status"].as_i64(), status.map(i64::from), "{}", row.words);
    let [detail, code, next] = ["detail", "code", "next"].map(|name| error[name].as_str());
    let detail: String = detail.unwrap().chars().flat_map(|c| shown(c).chars().collect::<Vec<_>>()).collect();
    let line = match (code, next) {
        (Some(code), Some(next)) => {
            let case = error["case"].as_str().unwrap();
            format!("error: {case}: {code}: {}. Next: {next}", detail.trim_end_matches('.'))
        }
        _ => format!("error: {detail}"),
    };
    assert_eq!(stderr.lines().last(), Some(&*line), "{}", row.words);
}

/// Returns a character as the program writes it to standard error.
fn shown(c: char) -> String {
    if c.is_control() || c == '\u{202e}' { c.escape_default().to_string() } else { c.to_string() }
}

/// Returns the sections of a text, each with its heading.
fn sections(text: &str) -> BTreeMap<&str, &str> {
    let begins = text.match_indices("## ").map(|(at, _)| at).filter(|at| *at == 0 || text.as_bytes()[at - 1] == b'\n');
    let begins: Vec<_> = begins.collect();
    let ends = begins.iter().skip(1).copied().chain([text.len()]);
    begins
        .iter()
        .zip(ends)
        .map(|(begin, end)| &text[*begin..end])
        .map(|text| (text.lines().next().unwrap(), text))
        .collect()
}

#[test]
fn every_command_answers_every_mistake_in_one_line_that_says_what_to_do() {
    let stage = Stage::new();
    furnish(&stage);
    let component = xtask::component().unwrap();
    let mut canaries = stage.canaries();
    canaries.add("key", OTHER_KEY.rsplit(':').next().unwrap());
    let place = Place {
        template: stage.home().to_owned(),
        copies: tempfile::tempdir().unwrap(),
        next: AtomicUsize::new(0),
        fake: stage.fake.address(),
        stranger: stranger(),
        sha256: tiktok_shop_host::ComponentDigest::of(&fs::read(&component).unwrap()).to_string(),
        component,
        canaries,
    };
    let mut rows = rows();
    let is_skipped = |heading: &str| heading.contains("{files}/unreadable") && tiktok_shop_private_file::user_id() == 0;
    if rows.iter().any(|row| is_skipped(&row.heading)) {
        eprintln!("not tried: files that this user can't read, because root can read every file");
        rows.retain(|row| !is_skipped(&row.heading));
    }

    let rights: BTreeSet<_> = rows.iter().filter_map(|row| row.right.clone()).collect();
    let rights: Vec<_> = rights.into_iter().collect();
    let without: BTreeMap<_, _> = rights.iter().zip(on_threads(&rights, |right| place.attempt(right, &[]))).collect();
    let answers = on_threads(&rows, |row| place.attempt(&row.words, &[]));

    // For each heading, the answers in the order in which they appeared, each with the commands that give it.
    let mut headings: Vec<&str> = Vec::new();
    let mut found: BTreeMap<&str, Vec<(String, Vec<&str>)>> = BTreeMap::new();
    let mut in_json = Vec::new();
    for (row, answer) in rows.iter().zip(&answers) {
        if !found.contains_key(&*row.heading) {
            headings.push(&row.heading);
        }
        let has_no_effect = row.right.as_ref().is_some_and(|right| without[right] == *answer);
        let text = if has_no_effect { "no effect\n".to_owned() } else { described(row, answer) };
        let outcomes = found.entry(&row.heading).or_default();
        match outcomes.iter_mut().find(|(known, _)| *known == text) {
            Some((_, labels)) => labels.push(&row.label),
            None => {
                // `sign` and `verify-webhook` have an option `--json` of their own.
                let is_own = row.label.starts_with("sign") || row.label.starts_with("verify-webhook");
                if !has_no_effect && !is_own && answer.stderr.contains("error: ") && !row.words.contains("--json") {
                    in_json.push((row, answer));
                }
                outcomes.push((text, vec![&*row.label]));
            }
        }
    }
    on_threads(&in_json, |(row, answer)| check_json(&place, row, answer));

    let known = sections(EXPECTED);
    let mut text = String::new();
    for heading in &headings {
        text += &format!("{heading}\n");
        let outcomes = &found[heading];
        for (outcome, labels) in outcomes {
            text += outcome;
            let is_only = outcomes.len() == 1 && heading.matches(" | ").count() == 2;
            let labels = if is_only { "all".to_owned() } else { labels.join(", ") };
            text += &format!("  {labels}\n");
        }
    }
    let skipped = known.iter().filter(|(heading, _)| is_skipped(heading)).map(|(_, text)| *text);
    let (found, expected) = (sections(&text), sections(EXPECTED));
    let differ = found.iter().any(|(heading, text)| expected.get(heading) != Some(text))
        || expected.keys().any(|heading| !found.contains_key(*heading) && !is_skipped(heading));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mistakes.txt");
    fs::write(&path, text.clone() + &skipped.collect::<String>()).unwrap();
    let differing: Vec<_> = found.iter().filter(|(heading, text)| expected.get(*heading) != Some(*text)).collect();
    assert!(
        !differ,
        "the answers differ from tests/command_line/mistakes.txt; all answers are in {}; review the difference, then \
         copy that file: {differing:#?}",
        path.display()
    );
}

#[test]
fn the_tables_contain_every_command_and_every_variable() {
    let listed = |arguments: &str, prefix: &str| -> Vec<String> {
        let Run { stdout, .. } = run(harness(arguments), "");
        let (_, rest) = stdout.split_once("\nCommands:\n").unwrap();
        let names = rest.lines().take_while(|line| !line.is_empty()).map(|line| line.trim().split(' ').next().unwrap());
        names.map(|name| format!("{prefix}{name}")).collect()
    };
    let mut commands = listed("--help", "");
    for parent in ["keys", "api-keys"] {
        let nested = listed(&format!("{parent} --help"), &format!("{parent} "));
        commands.extend(nested.into_iter().filter(|name| !name.ends_with(" help")));
    }
    commands.sort();
    let mut tried = COMMANDS.map(|(name, _, _)| name.to_owned());
    tried.sort();
    assert_eq!(commands, tried);
    assert_eq!(VARIABLES.map(|(name, _)| name), configuration::VARIABLES);
    // A line of wrong arguments for every command that takes arguments.
    for (name, _, _) in COMMANDS {
        assert!(LINES.iter().any(|(_, line)| line.starts_with(name)), "{name}");
    }
}
