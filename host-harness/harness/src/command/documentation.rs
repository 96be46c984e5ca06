//! Writes `docs/command-line.md`, which shows all help texts on one page.

use clap::{Arg, Command};
use clap_markdown::{MarkdownOptions, help_markdown_command_custom};

use crate::failure::STATUSES;
use crate::settings::SHARED;

const INTRODUCTION: &str = "\
After reading this page you can connect a seller, call TikTok Shop, accept webhooks and manage keys from a shell. The page is for
operators and testers.

`tiktok-shop-harness` runs the connector as a program. It keeps connections in SQLite or PostgreSQL. `cargo build` puts the program into
`target/debug`, and `cargo xtask dist` builds the component that it runs. Without arguments, the program shows how to try it.

The program prints results to standard output and everything else to standard error, one line each. With `--json` it prints one JSON
object per line, also for errors: `{\"error\":{\"status\":13,\"case\":\"invalid-request\",\"code\":\"not-connected\",…}}`. Times in JSON are Unix
seconds. The output contains no secret unless you use `--reveal`. There are three exceptions: the link of `authorization-url` contains
the state, `call` shows TikTok Shop's answer unchanged, and two commands show invented secrets of a fake: `fake` shows the app secrets,
and `authorization-url --consent-as` shows a code.

The next page to read is [signatures.md](signatures.md).
";

const SETTINGS: &str = "\
## Where a value comes from

If a value is given in several places, an option wins over its environment variable, the variable wins over the configuration file, and
the file wins over the built-in default.

A mistake is an error, never a quiet loss:

- A variable that is set but empty is an error in every command, and so is an empty text in the configuration file. To use the next place
  in the order, unset the variable.
- Every variable that begins with `TIKTOK_SHOP_` and is not in the table below is an error. Exceptions are the variables of this project's
  tests (`TIKTOK_SHOP_TEST_…`, `TIKTOK_SHOP_SIMULATION_…`), and those that Kubernetes sets for a service with such a name
  (`TIKTOK_SHOP_…_SERVICE_HOST`, `…_PORT`).
- An error about a value names the option, the variable, or the configuration file and its member that contains the value. The values of
  all variables are checked, also of those that the command does not use.
- `HOME`, `XDG_CACHE_HOME`, `XDG_CONFIG_HOME` and `XDG_DATA_HOME` must be absolute paths.
- White space and line breaks at the ends of a value are trimmed, because they come with copying or with a file. Anything else that nobody
  sees is refused: control characters, tabs and line breaks inside a value, zero-width characters, byte order marks. So are spaces and
  characters outside of ASCII in an app key, a secret, a link, a digest or the address of a fake. The error names the character and its
  position, and never shows the value.

| value | option | variable | in the file |
| --- | --- | --- | --- |
| storage: `sqlite:PATH`, `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, `memory:`; default `connections.sqlite` in the data folder, `fake-connections.sqlite` for a fake | `--storage`, without a password | `TIKTOK_SHOP_STORAGE` | `storage` |
| tenant; default `default`; it must be [known](#tenants) | `--tenant` | `TIKTOK_SHOP_TENANT` | |
| host keys: `ID:HEX` with 64 hexadecimal digits, separated by commas; the first one wraps data keys | | `TIKTOK_SHOP_HOST_KEYS` | |
| file of host keys, one per line; default `host-keys` in the data folder, or `fake-host-keys` with a fake; `keys init` [makes the file](#host-keys); use a file for one database only | `--key-file` | `TIKTOK_SHOP_KEY_FILE` | `key-file` |
| [who may read](#files-that-the-program-refuses) the key file and the configuration file: `owner`, `group` or `mounted`; default `owner` | `--file-access` | `TIKTOK_SHOP_FILE_ACCESS` | `file-access`, for the key file |
| key service: OpenBao or Vault ([keys.md](keys.md)); its token or secret id | | `TIKTOK_SHOP_KEY_SERVICE_TOKEN`, `TIKTOK_SHOP_KEY_SERVICE_SECRET_ID` | `[key-service]` |
| component; default `tiktok_shop_connector.wasm` beside the program, or in `target/dist` of the workspace in which the program was built | `--component` | `TIKTOK_SHOP_COMPONENT` | |
| SHA-256 that the component must have, 64 hexadecimal digits; without it, any component | `--component-sha256` | `TIKTOK_SHOP_COMPONENT_SHA256` | `component-sha256` |
| whether `export` may write tokens to a file: `allowed` or `refused`; default `refused` ([moving-over.md](moving-over.md#moving-to-another-installation)) | | | `export` |
| what happens to a row without a seal, which only a host of release 0.1 writes: `accepted` or `refused`; default `accepted` ([storage.md](storage.md#changed-rows)) | | | `unsealed-rows` |
| configuration file; default `config.toml` in the configuration folder, if that file exists | `--config` | `TIKTOK_SHOP_CONFIG` | |
| a fake in place of TikTok Shop: `http://127.0.0.1:PORT` | `--fake` | `TIKTOK_SHOP_FAKE` | |
| who runs the command, for events and logs; default the user of this machine: `USER`, `LOGNAME` or `USERNAME`, else the user id, such as `uid:1000` | `--actor` | `TIKTOK_SHOP_ACTOR` | |
| why the command is run, for events | `--reason` | | |
| address on which `serve` listens; default `127.0.0.1:4020` | `--listen` | `TIKTOK_SHOP_LISTEN` | `serve.listen` |
| address of the service for browsers, with `https`; default that of `--listen`, if it is loopback | `--public-address` | `TIKTOK_SHOP_PUBLIC_ADDRESS` | `serve.public-address` |
| the other settings of `serve`, and its API keys ([service.md](service.md)) | | | `[serve]`, `[[api-keys]]` |
| app key of the tenant's only app; [apps.md](apps.md) shows how to list several apps | | `TIKTOK_SHOP_APP_KEY` | `tenants.NAME.app-key` |
| app secret | | `TIKTOK_SHOP_APP_SECRET` | `tenants.NAME.app-secret` |
| the previous app secret, for webhooks | | `TIKTOK_SHOP_PREVIOUS_APP_SECRET` | `tenants.NAME.previous-app-secret` |
| Partner Center's authorization link | | `TIKTOK_SHOP_AUTHORIZATION_LINK` | `tenants.NAME.authorization-link` |
| forward proxy to TikTok Shop: `http://USER:PASSWORD@HOST:PORT` or `https://…`; without it, none, and `HTTPS_PROXY` is not read | | `TIKTOK_SHOP_PROXY` | `egress.proxy` |
| file of certificate authorities, in PEM, for an `https://` proxy; default Mozilla's authorities | | `TIKTOK_SHOP_PROXY_CERTIFICATES` | `egress.proxy-certificates` |
| the same secrets in files, one in each: the variable contains the path, and the file only the value. The files need the access in `TIKTOK_SHOP_FILE_ACCESS` | | `TIKTOK_SHOP_STORAGE_FILE`, `TIKTOK_SHOP_APP_SECRET_FILE`, `TIKTOK_SHOP_PREVIOUS_APP_SECRET_FILE`, `TIKTOK_SHOP_PROXY_FILE`, `TIKTOK_SHOP_KEY_SERVICE_TOKEN_FILE`, `TIKTOK_SHOP_KEY_SERVICE_SECRET_ID_FILE` | |
| collector for traces of `serve` ([operations.md](operations.md#traces)) | | `OTEL_EXPORTER_OTLP_ENDPOINT` and others | |
| database that `contract` checks | its argument, without a password | `TIKTOK_SHOP_CONTRACT_STORAGE` | |

The data folder is `$XDG_DATA_HOME/tiktok-shop-harness` (`~/.local/share/…`), the configuration folder
`$XDG_CONFIG_HOME/tiktok-shop-harness` (`~/.config/…`). The compiled component is cached in `$XDG_CACHE_HOME/tiktok-shop-harness/compiled`
(`~/.cache/…`), so that only the first command compiles it. You may delete the cache at any time. The program prints colours only to a terminal. `CLICOLOR_FORCE=1` turns colours
on, and `NO_COLOR=1` turns them off.

### Host keys

A key that a container invents is lost with the container, and with it every connection. So apart from `keys add`, a command makes a host
key only in these cases:

- `keys init` makes the key file of a new database. It refuses to replace a file.
- If no setting names a database or host keys, the program uses the database and the key file in the data folder. If this key file is
  missing and the database contains no data key, the program makes the key file, and a warning says what to back up.
- With a fake, the program makes `fake-host-keys` in the same way. The connections of a fake are invented.
- With `memory:`, the program draws a key that ends with the command, unless host keys are named.

In all other cases the host keys must exist. If a database is named by an option, a variable or the configuration file, the program still
uses the key file in the data folder if that file exists. With PostgreSQL, host keys must be named.

With a [key service](keys.md), no key file is made or looked for, and `keys init` refuses to make one. A key file or `TIKTOK_SHOP_HOST_KEYS`
that is also named only opens earlier data. If a variable with a secret of a key service is set but no `[key-service]` is configured, the
command ends with status 2.

Before a command uses tokens, it checks whether the host keys open the stored data keys. If data keys are stored and none of them opens, the
command ends with status 16, sends nothing, and names the host keys that are missing. If only some open, a note names the others. A command for one
tenant checks the data keys of this tenant. `sweep`, `keys rotate` and `keys retire` check those of up to 20 tenants that have an app. This
is one short read for each tenant, and one data key is unwrapped for each host key. If none of the checked tenants has a data key, the
program reads the data keys of all tenants, 20 at a time, and stops when one opens. The database then also counts records, which costs as
much as `keys status`. A key service is asked once for each of these tenants. If it does not answer, a command with one tenant ends with
status 16, and a command with all tenants goes on.

`disconnect` without `--revoke` and `--shop`, `list-connections`, `events`, `keys status` and `keys erase` open nothing, so they work
without host keys.

### Tenants

A tenant is known if it has an app, or if something is stored of it. A command with an unknown tenant ends with status 2 and changes nothing,
so a mistyped name neither begins a new tenant nor shows an empty list. `keys erase` accepts every tenant. Only if no tenant is named and no
app is configured at all, the tenant `default` is known without an app.

`TIKTOK_SHOP_APP_KEY` and the three other variables of the app describe the only app of the tenant in `TIKTOK_SHOP_TENANT`, or of the tenant
of the command if that variable is not set. If the configuration file lists several apps for this tenant, none of the four may be set.

`sweep`, `keys init`, `keys status`, `keys add`, `keys promote`, `keys rotate`, `keys retire`, `migrate` and `contract` have no option
`--tenant`, because they work with all tenants. `TIKTOK_SHOP_TENANT` does not limit them either. If it is set, `sweep` and these `keys`
commands, except `keys init`, say in a note that they work with all tenants. If the environment contains no app, they end with status 2
instead, because the variable would do nothing. `keys init`, `migrate` and `contract` use no tenant.

### Files that the program refuses

Every file in these two folders is private (mode 600). The program refuses a key file, a configuration file, a browser session, an
SQLite database, and the file and the journal of an import if one of these is true. Then the exit status is 3.

- Other users can read or write the file.
- The file, or a folder or symbolic link on the way to it, belongs to a user other than you and root.
- Other users can write to a folder on the way to it. A folder with the sticky bit, such as `/tmp`, is allowed, and so is a folder that
  only a group with your own number can write to.
- The file has a second name (a hard link).

A container may mount the key file and the configuration file with other permissions. `--file-access` accepts them:

| `--file-access` | who may read the file | example |
| --- | --- | --- |
| `owner` | its owner only: mode 600 or 400 | a file on a machine |
| `group` | also a group to which the process belongs: mode 440 or 640 | Kubernetes with `fsGroup` and `defaultMode: 0440` |
| `mounted` | as `group`; and every user or another group, mode 444 or 440, if the file is on a read-only mount | secrets of Docker, and of Kubernetes by default; only in a container that runs nothing else. Credentials of systemd |

In each case only the owner may write to the file, and the other rules hold. The configuration file can make the choice for the key file. For
the configuration file itself, use the option or the variable.

A component may be readable for everybody and may have several names. The other rules hold for it, too, unless its SHA-256 is pinned.

The private key that `sslkey` of a PostgreSQL address names follows the same rules, with `--file-access`. If the key file belongs to root,
its group may read it (mode 640 or 440). The files `token-file` and `jwt-file` of a key service may be readable for everybody, because the
program that writes them decides who reads them. The other rules hold for them, too.

### Which commands create a database

`migrate` creates a database that a setting names, and only in a folder that exists. `authorization-url`, `connect --app-store` and
`import` create only the default database. If the tenant has no app, they end with status 2 and create nothing. `contract` creates a
database only with `--create`. Every other command ends with status 3 if there is no database, and writes nothing, also not into an empty
file. Only `migrate` changes the tables of an earlier release.
[upgrading.md](upgrading.md) says how to update a fleet.

### The address of a PostgreSQL server

A server that is reached by a socket, by `localhost` or by a loopback address needs no TLS. For every other server the program uses
`sslmode=verify-full`, also if the address does not say so, and refuses a weaker mode. `sslrootcert=FILE` names a certificate authority
of your own. If the network is protected in another way, append `unverified-server=allowed`. Then the address decides with `sslmode`.

Only the address decides how the server is reached. PostgreSQL's own variables, such as `PGPASSWORD` and `PGSSLMODE`, and the password file
`.pgpass` have no effect, or are refused ([storage.md](storage.md#postgresql)).

[storage.md](storage.md#postgresql) lists the parameters of an address. An unknown one is an error. An address in an argument may contain
only parameters that are not secret. So put an address with a password into `TIKTOK_SHOP_STORAGE`,
for `contract` into `TIKTOK_SHOP_CONTRACT_STORAGE`, or into the configuration file.

### A forward proxy

The proxy is asked with `CONNECT` for `auth.tiktok-shops.com:443` and `open-api.tiktokglobalshop.com:443`, and for nothing else, so it must
allow these two. TLS with TikTok Shop runs inside the tunnel: a proxy that inspects TLS must exempt the two names. The proxy resolves them.
User and password may be left out. In both, write `%40` for `@`, `%25` for `%`, and `%3A` for a `:` in the user. They cross the network to
an `http://` proxy in clear. If the proxy is away or refuses, nothing was sent to TikTok Shop, and the command ends with status 10. The
error names the proxy and says what to do. The proxy must keep idle tunnels open for more than 20 seconds, so that it closes none while a
request is on its way. A command with a fake does not use the proxy. The file of certificate authorities has at most 1 MiB, and only a
command that may send a request reads it.

### With a fake

A command reads the fake's clock when it starts, and uses this time. The database measures some periods by a real clock nevertheless: for
example the ten minutes in which a consent must be finished, and the two minutes for which a refresh claims a token.

Any program of this machine can listen at the address of a fake. So a fake gets no secret of TikTok Shop:

- **App.** The tenant `default` uses the fake's first app. A tenant whose name is the key of an app of the fake uses this app; the fake's
  start page shows the keys. Every other tenant must be configured. If an app is configured, the fake must first show the app's key and
  secret itself. Otherwise the command ends with status 2, and the secret is not sent. This applies to every tenant of the configuration
  file, because a sweep uses all of them. To try a fake on a machine with a real configuration, name another file with `--config`.
- **Database.** A database belongs either to TikTok Shop or to a fake, as the first command or host that uses it decides. If it belongs to
  the other one, the command ends with status 3. A database that was used before databases knew this belongs to TikTok Shop.

### The configuration file

Relative paths start at the folder of the file. An unknown member is an error.

```toml
storage = \"postgres://connector:PASSWORD@db.example/shops?sslmode=verify-full\"
key-file = \"host-keys\"
file-access = \"owner\" # or \"group\" or \"mounted\"

[egress]
proxy = \"http://connector:PASSWORD@proxy.internal:3128\"

[tenants.default]
app-key = \"6a1b2c3d4e5f6\"
app-secret = \"…\"
previous-app-secret = \"…\" # for a day after a change
authorization-link = \"https://services.tiktokshop.com/open/authorize?service_id=…\"

# A tenant with several apps lists them (docs/apps.md). No variable describes them.
[[tenants.acme.apps]]
app-key = \"6f5e4d3c2b1a0\"
app-secret = \"…\"
authorization-link = \"https://services.us.tiktokshop.com/open/authorize?service_id=…\"
```

A tenant with several apps has a list `[[tenants.NAME.apps]]` instead, with these four members in each entry ([apps.md](apps.md)).
";

/// Returns the page for this definition of the command line.
pub(crate) fn page(command: Command) -> String {
    let name = command.get_name().to_owned();
    let shared = shared_options(&command);
    let options = MarkdownOptions::new().title("unused".to_owned()).show_footer(false);
    let helps = help_markdown_command_custom(&for_markdown(command), &options);
    // The generated title, introduction and section about the program itself are dropped, because this file has its
    // own.
    let (_, overview) = helps.split_once("**Command Overview:**\n\n").unwrap_or_default();
    let (overview, helps) = overview.split_once("\n## ").unwrap_or_default();
    let (_, helps) = helps.split_once("\n## ").unwrap_or_default();
    let overview: Vec<_> = overview.lines().skip(1).map(|line| line.strip_prefix("* ").unwrap_or(line)).collect();
    let overview: String = overview.iter().map(|line| format!("- {}\n", line.replace('↴', ""))).collect();
    let statuses: String = STATUSES.iter().map(|(status, meaning)| format!("| {status} | {meaning} |\n")).collect();
    let page = format!(
        "# {name}\n\n<!-- Written by `cargo xtask docs`; a test fails while it is out of date. -->\n\n{INTRODUCTION}\n\
         ## Commands\n\n{overview}\n## Exit statuses\n\n| status | meaning |\n| --- | --- |\n{statuses}\n{SETTINGS}\n\
         ## Shared options\n\n{shared}\n## {helps}"
    );
    // The generator leaves spaces at the ends of lines, and several empty lines in a row.
    let lines = page.lines().map(str::trim_end).collect::<Vec<_>>();
    let mut tidy = String::new();
    for (at, line) in lines.iter().enumerate() {
        let repeated =
            line.is_empty() && at.checked_sub(1).and_then(|before| lines.get(before)).is_some_and(|l| l.is_empty());
        if !repeated {
            tidy.push_str(line);
            tidy.push('\n');
        }
    }
    format!("{}\n", tidy.trim_end())
}

/// Puts the text after the options into a code block, so that the text looks as it does on a terminal. Hides the shared
/// options, because the page lists them only once.
fn for_markdown(mut command: Command) -> Command {
    if let Some(help) = command.get_after_help().map(ToString::to_string) {
        command = command.after_help(format!("```text\n{help}\n```"));
    }
    command = command.mut_args(|argument| {
        let shared = argument.get_help_heading() == Some(SHARED);
        argument.hide(shared)
    });
    command.mut_subcommands(for_markdown)
}

fn shared_options(command: &Command) -> String {
    let everywhere = command.get_arguments().filter(|argument| argument.is_global_set());
    let everywhere: String = everywhere.map(option).collect();
    let largest = command.get_subcommands().max_by_key(|command| shared(command).count());
    let shared: String = largest.into_iter().flat_map(shared).collect();
    format!(
        "Every command has these options:\n\n{everywhere}\nThe commands that work with stored connections also have \
         these. Commands that work with all tenants have no `--tenant` ([Tenants](#tenants)):\n\n{shared}"
    )
}

fn shared(command: &Command) -> impl Iterator<Item = String> {
    command.get_arguments().filter(|argument| argument.get_help_heading() == Some(SHARED)).map(option)
}

fn option(argument: &Arg) -> String {
    let value = argument.get_value_names().and_then(|names| names.first());
    let value =
        value.filter(|_| argument.get_action().takes_values()).map_or_else(String::new, |name| format!(" <{name}>"));
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    format!("- `--{}{value}` — {help}\n", argument.get_long().unwrap_or_default())
}
