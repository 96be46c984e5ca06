//! What PostgreSQL's error codes mean for an operator, and what the operator can do.
//!
//! A text of this table replaces PostgreSQL's own text, which may quote a name, a value or a statement. The codes are
//! those of PostgreSQL's appendix "Error Codes" (2026-11-29).

/// Each entry has an error code, what happened, and what an operator can do about it.
const MEANINGS: [(&str, &str, &str); 33] = [
    ("08001", "the server is not reached", "check the host, the port and the network"),
    ("08003", "the connection is closed", "run the same command again"),
    ("08004", "the server refuses the connection", "check the server's access rules"),
    ("08006", "the connection broke", "check the server and the network, and run the same command again"),
    ("08P01", "the server or a connection pooler refuses the connection's settings", "see the text of the server"),
    ("0A000", "the server does not support a statement", "use PostgreSQL 12 or newer"),
    ("22021", "the database can't hold a character", "create a database with ENCODING 'UTF8'"),
    (
        "25006",
        "the server or the user may only read",
        "connect to the primary, and set default_transaction_read_only off",
    ),
    ("26000", "a connection pooler mixes sessions", "run the pooler in session mode"),
    ("28000", "the server does not let this user in", "check the user in the address, and pg_hba.conf of the server"),
    ("28P01", "the password is wrong, or there is no such user", "correct the user and the password in the address"),
    ("3D000", "there is no such database", "correct the name in the address, or create the database with createdb"),
    ("3F000", "there is no such schema", "correct search_path, or create the schema"),
    ("40001", "other transactions were faster", "run the same command again"),
    ("40P01", "transactions waited for each other", "run the same command again"),
    ("42501", "the user lacks a right", "grant the user the rights that docs/storage.md lists"),
    ("42703", "a column is missing", "run tiktok-shop-harness migrate, with the release that the hosts have"),
    ("42883", "a function is missing", "let search_path contain pg_catalog, and use PostgreSQL 12 or newer"),
    ("42P01", "a table is missing", "check search_path, and run tiktok-shop-harness migrate"),
    ("42P05", "a connection pooler mixes sessions", "run the pooler in session mode"),
    ("42P07", "a table exists already", "check that no other program uses tables that begin with tiktok_shop_"),
    ("53100", "the server's disk is full", "make room on the server's disk"),
    ("53200", "the server has no memory left", "give the server more memory, or fewer connections"),
    ("53300", "the server has no connection left", "raise max_connections or the role's limit, or lower pool-size"),
    ("55P03", "another program locks a table", "wait until the other program has finished, or end it"),
    ("57014", "a statement took too long or was cancelled", "look for a slow or locked server"),
    ("57P01", "an administrator is stopping the server", "run the same command again when the server is back"),
    ("57P02", "the server crashed", "look at the server's log, and run the same command again"),
    ("57P03", "the server is starting or stopping", "run the same command again in a few seconds"),
    ("57P05", "the connection was idle for too long", "run the same command again"),
    ("58030", "the server can't read or write its disk", "look at the server's log"),
    ("XX001", "the server reports damaged data", "restore a backup"),
    ("XX002", "the server reports a damaged index", "rebuild the index with REINDEX"),
];

/// Returns what a code means and what to do, as one text. `None` if the table does not contain the code.
pub(super) fn meaning(code: &str) -> Option<String> {
    let (_, what, next) = MEANINGS.iter().find(|(known, ..)| *known == code)?;
    Some(format!("{what}: {next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_stands_once_in_the_order_of_the_codes() {
        assert!(MEANINGS.is_sorted_by(|(first, ..), (second, ..)| first < second));
        assert!(MEANINGS.iter().all(|(code, ..)| code.len() == 5));
    }

    #[test]
    fn each_code_says_what_happened_and_what_to_do_in_one_line() {
        for (code, what, next) in MEANINGS {
            let text = meaning(code).unwrap();
            assert_eq!(text, format!("{what}: {next}"), "{code}");
            assert!(!what.is_empty() && !next.is_empty() && text.len() <= 120, "{code}: {text}");
            assert!(!text.contains(['\n', '\t']) && !text.ends_with('.'), "{code}: {text}");
        }
        assert_eq!(meaning("99999"), None);
        assert_eq!(meaning(""), None);
    }
}
