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

| value | option | variable | in the file |
| --- | --- | --- | --- |
| storage: `sqlite:PATH`, `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, `memory:`; default `connections.sqlite` in the data folder, `fake-connections.sqlite` for a fake | `--storage`, without a password | `TIKTOK_SHOP_STORAGE` | `storage` |
| tenant; default `default` | `--tenant` | `TIKTOK_SHOP_TENANT` | |
| host keys: `ID:HEX` with 64 hexadecimal digits, separated by commas; the first one wraps data keys | | `TIKTOK_SHOP_HOST_KEYS` | |
| key service: OpenBao or Vault ([keys.md](keys.md)); its token or secret id | | `TIKTOK_SHOP_KEY_SERVICE_TOKEN`, `TIKTOK_SHOP_KEY_SERVICE_SECRET_ID` | `[key-service]` |
| file of host keys, one per line; default `host-keys` in the data folder, or `fake-host-keys` with a fake, created on first use; use a file for one database only | `--key-file` | `TIKTOK_SHOP_KEY_FILE` | `key-file` |
| component; default `tiktok_shop_connector.wasm` beside the program, or in `target/dist` of the workspace in which the program was built | `--component` | `TIKTOK_SHOP_COMPONENT` | |
| SHA-256 that the component must have, 64 hexadecimal digits; without it, any component | `--component-sha256` | `TIKTOK_SHOP_COMPONENT_SHA256` | `component-sha256` |
| configuration file; default `config.toml` in the configuration folder, if that file exists | `--config` | `TIKTOK_SHOP_CONFIG` | |
| a fake in place of TikTok Shop: `http://127.0.0.1:PORT` | `--fake` | `TIKTOK_SHOP_FAKE` | |
| who runs the command, for events and logs; default the name of the user of this machine | `--actor` | `TIKTOK_SHOP_ACTOR` | |
| why the command is run, for events | `--reason` | | |
| app key of the tenant | | `TIKTOK_SHOP_APP_KEY` | `tenants.NAME.app-key` |
| app secret | | `TIKTOK_SHOP_APP_SECRET` | `tenants.NAME.app-secret` |
| the previous app secret, for webhooks | | `TIKTOK_SHOP_PREVIOUS_APP_SECRET` | `tenants.NAME.previous-app-secret` |
| Partner Center's authorization link | | `TIKTOK_SHOP_AUTHORIZATION_LINK` | `tenants.NAME.authorization-link` |
| forward proxy to TikTok Shop: `http://USER:PASSWORD@HOST:PORT` or `https://…`; without it, none, and `HTTPS_PROXY` is not read | | `TIKTOK_SHOP_PROXY` | `egress.proxy` |
| file of certificate authorities, in PEM, for an `https://` proxy; default Mozilla's authorities | | `TIKTOK_SHOP_PROXY_CERTIFICATES` | `egress.proxy-certificates` |
| database that `contract` checks | its argument, without a password | `TIKTOK_SHOP_CONTRACT_STORAGE` | |

The data folder is `$XDG_DATA_HOME/tiktok-shop-harness` (`~/.local/share/…`), the configuration folder
`$XDG_CONFIG_HOME/tiktok-shop-harness` (`~/.config/…`). The program prints colours only to a terminal. `CLICOLOR_FORCE=1` turns colours
on, and `NO_COLOR=1` turns them off.

### Files that the program refuses

Every file in these two folders is private (mode 600). The program refuses a key file, a configuration file, a browser session and an
SQLite database if one of these is true:

- Other users can read or write the file.
- The file, or a folder or symbolic link on the way to it, belongs to a user other than you and root.
- Other users can write to a folder on the way to it. A folder with the sticky bit, such as `/tmp`, is allowed, and so is a folder that
  only a group with your own number can write to.
- The file has a second name (a hard link).

A component may be readable for everybody and may have several names. The other rules hold for it, too, unless its SHA-256 is pinned.

### Which commands create a database

`migrate` and `connect` create a database that a setting names, and only in a folder that exists. `authorization-url` creates only the
default database. `contract` creates one only with `--create`. Every other command ends with status 3 if there is no database, and creates
nothing. Only `migrate` changes the tables of an earlier release. [storage.md](storage.md#open-create-migrate) says how to update a fleet.

### The address of a PostgreSQL server

A server that is reached by a socket, by `localhost` or by a loopback address needs no TLS. For every other server the program uses
`sslmode=verify-full`, also if the address does not say so, and refuses a weaker mode. `sslrootcert=FILE` names a certificate authority
of your own. If the network is protected in another way, append `unverified-server=allowed`. Then the address decides with `sslmode`.

[storage.md](storage.md#postgresql) lists the parameters of an address. An unknown one is an error. An address in an argument may contain
only parameters that are not secret. So put an address with a password into `TIKTOK_SHOP_STORAGE`,
for `contract` into `TIKTOK_SHOP_CONTRACT_STORAGE`, or into the configuration file.

### A forward proxy

The proxy is asked with `CONNECT` for `auth.tiktok-shops.com:443` and `open-api.tiktokglobalshop.com:443`, and for nothing else, so it must
allow these two. TLS with TikTok Shop runs inside the tunnel: a proxy that inspects TLS must exempt the two names. The proxy resolves them.
User and password may be left out. In both, write `%40` for `@`, `%25` for `%`, and `%3A` for a `:` in the user. They cross the network to
an `http://` proxy in clear. If the proxy is away or refuses, nothing was sent to TikTok Shop, and the command ends with status 10. The
error names the proxy and says what to do. The proxy must keep idle tunnels open for more than 20 seconds, so that it closes none while a
request is on its way. A command with a fake does not use the proxy.

### With a fake

A command reads the fake's clock when it starts, and uses this time. The database measures some periods by a real clock nevertheless: for
example the ten minutes in which a consent must be finished, and the two minutes for which a refresh claims a token.

Any program of this machine can listen at the address of a fake. So a fake gets no secret of TikTok Shop:

- **App.** A tenant without credentials uses the fake's first app. If an app is configured, the fake must first show the app's key and
  secret itself. Otherwise the command ends with status 2, and the secret is not sent. This applies to every tenant of the configuration
  file, because a sweep uses all of them. To try a fake on a machine with a real configuration, name another file with `--config`.
- **Database.** A database belongs either to TikTok Shop or to a fake, as the first command or host that uses it decides. If it belongs to
  the other one, the command ends with status 3. A database that was used before databases knew this belongs to TikTok Shop.

### The configuration file

Relative paths start at the folder of the file. An unknown member is an error.

```toml
storage = \"postgres://connector:PASSWORD@db.example/shops?sslmode=verify-full\"
key-file = \"host-keys\"

[egress]
proxy = \"http://connector:PASSWORD@proxy.internal:3128\"

[tenants.default]
app-key = \"6a1b2c3d4e5f6\"
app-secret = \"…\"
previous-app-secret = \"…\" # for a day after a change
authorization-link = \"https://services.tiktokshop.com/open/authorize?service_id=…\"
```
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
        "Every command has these options:\n\n{everywhere}\nEvery command that works with stored connections also has these:\n\n{shared}"
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
