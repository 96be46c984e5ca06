//! Without arguments, the program prints this text: how to try the program, and where its files are.

use std::path::PathBuf;

use anstyle::Style;

use crate::failure::Failure;
use crate::output::Report;
use crate::settings::{
    browser_session_file, component_file, config_file, database, fake_database, fake_key_file, key_file,
};

const TRY: [&str; 4] = [
    "tiktok-shop-harness fake --port 4010 &",
    "export TIKTOK_SHOP_FAKE=http://127.0.0.1:4010",
    "tiktok-shop-harness authorization-url customer-7 --consent-as one-shop | tiktok-shop-harness connect",
    "tiktok-shop-harness list-shops customer-7",
];

const APP: [&str; 4] = [
    "[tenants.default]",
    "app-key = \"…\"",
    "app-secret = \"…\"",
    "authorization-link = \"https://services.tiktokshop.com/open/authorize?service_id=…\"",
];

pub(crate) fn run(report: &mut Report) {
    report.styled(Style::new().bold(), "The TikTok Shop connector on the command line");
    report.line("");
    report.line("Try it against a fake TikTok Shop on this machine:");
    report.line("");
    TRY.iter().for_each(|command| report.line(&format!("  $ {command}")));
    report.line("");
    report.line("To decide as the seller yourself, run authorization-url without --consent-as, and open the second");
    report.line("address that it prints. Then pass the address that the fake's page shows to the command connect.");
    report.line("");
    report.line("To use the real TikTok Shop, write this into the configuration file (mode 600):");
    report.line("");
    APP.iter().for_each(|line| report.line(&format!("  {line}")));
    report.line("");
    report.line("On this machine:");
    report.line("");
    let component = component_file(None).map(|path| path.display().to_string());
    let component = component.unwrap_or_else(|_| "none yet; cargo xtask dist builds it".to_owned());
    report.line(&format!("  component        {component}"));
    for (what, file) in [
        ("configuration", config_file()),
        ("connections", database()),
        ("fake database", fake_database()),
        ("host keys", key_file()),
        ("fake host keys", fake_key_file()),
        ("browser session", browser_session_file()),
    ] {
        report.line(&format!("  {what:<15}  {}", described(file)));
    }
    report.line("");
    report.line("tiktok-shop-harness --help lists the commands and exit statuses. COMMAND --help shows examples.");
    report.line("docs/command-line.md shows all help texts on one page.");
}

fn described(file: Result<PathBuf, Failure>) -> String {
    match file {
        Ok(path) if path.exists() => path.display().to_string(),
        Ok(path) => format!("{} (does not exist yet)", path.display()),
        Err(_) => "the home folder is unknown; set HOME".to_owned(),
    }
}
