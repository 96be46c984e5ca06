//! Describes the operations of the control interface, for the answer to `GET /_control` and for the start page.

/// The description of one operation, for people.
pub(crate) struct Operation {
    pub call: &'static str,
    pub body: &'static str,
    pub does: &'static str,
}

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation { call: "GET /_control", body: "", does: "Describes the control interface and every switch." },
    Operation {
        call: "GET /_control/clock",
        body: "",
        does: "Shows the fake's time in Unix seconds, and whether its clock runs.",
    },
    Operation { call: "PUT /_control/clock", body: r#"{"now": 1767225600}"#, does: "Sets the clock." },
    Operation {
        call: "POST /_control/clock/advance",
        body: r#"{"seconds": 604800}"#,
        does: "Moves the clock forward.",
    },
    Operation { call: "GET /_control/switches", body: "", does: "Shows the present switches." },
    Operation {
        call: "PATCH /_control/switches",
        body: r#"{"refusal_error": "access_denied"}"#,
        does: "Sets the named switches.",
    },
    Operation { call: "GET /_control/requests", body: "", does: "Shows the recorded requests, with secrets masked." },
    Operation { call: "DELETE /_control/requests", body: "", does: "Deletes the recorded requests." },
    Operation {
        call: "GET /_control/faults",
        body: "",
        does: "Shows the faults that are scripted and not used up, and the names of all known faults.",
    },
    Operation {
        call: "POST /_control/faults",
        body: r#"{"path": "/api/v2/token/get", "name": "HTTP 429, Retry-After: 7", "times": 1}"#,
        does: "Scripts a fault for the next requests to a path; without times, for all of them. To use a fault of your \
               own, add fault, for example {\"acts\": true, \"sends\": [{\"text\": \"HTTP/1.1 200 OK\\r\\n\"}], \"then\": \"reset\"}.",
    },
    Operation { call: "DELETE /_control/faults", body: "", does: "Removes all scripts and returns the unused ones." },
    Operation { call: "GET /_control/apps", body: "", does: "Shows the apps with their (invented) secrets." },
    Operation { call: "GET /_control/sellers", body: "", does: "Shows the sellers and their shops." },
    Operation {
        call: "POST /_control/consent",
        body: r#"{"service_id": "…", "seller": "one-shop", "state": "…", "decision": "allow"}"#,
        does: "Decides on the consent page (allow or refuse; state is optional) and returns the callback. app_key may name \
               the app in place of service_id.",
    },
    Operation {
        call: "POST /_control/sellers/{seller}/end",
        body: "",
        does: "Ends the seller's authorizations as if their time were over. A refresh then gets 36004001.",
    },
    Operation {
        call: "POST /_control/sellers/{seller}/revoke",
        body: "",
        does: "Revokes the seller's authorizations without a webhook. A refresh then gets 36004005, a call gets 105001.",
    },
    Operation {
        call: "POST /_control/sellers/{seller}/deauthorize",
        body: r#"{"service_id": "…", "shop": "7490000000000000001"}"#,
        does: "Removes the app as the seller does it; with shop, removes only this shop from the grant. Webhooks of type 6 \
               are queued.",
    },
    Operation {
        call: "PATCH /_control/sellers/{seller}",
        body: r#"{"authorization_lasts_seconds": 2592000}"#,
        does: "Sets how long the seller's next authorizations last.",
    },
    Operation { call: "GET /_control/sellers/{seller}/shops", body: "", does: "Shows the seller's shops." },
    Operation {
        call: "POST /_control/sellers/{seller}/shops",
        body: r#"{"id": "7490000000000000042", "name": "…", "region": "GB", "seller_type": "LOCAL", "cipher": "…", "code": "…", "extra": {}}"#,
        does: "Adds a shop. cipher and extra (further members of the shop's row) are optional.",
    },
    Operation { call: "DELETE /_control/sellers/{seller}/shops/{shop}", body: "", does: "Removes a shop." },
    Operation {
        call: "GET /_control/webhooks",
        body: "",
        does: "Shows the webhooks that are due, with headers and raw body.",
    },
    Operation {
        call: "POST /_control/webhooks",
        body: r#"{"service_id": "…", "type": 1, "shop_id": "7490000000000000001", "data": {"order_id": "…"}}"#,
        does: "Queues a webhook of any type. shop_id is optional.",
    },
    Operation {
        call: "POST /_control/webhooks/{number}/answer",
        body: r#"{"status": 200}"#,
        does: "Records the receiver's answer; without status, that no answer came. A webhook that was not answered with \
               2xx or 401 is sent again after 2 minutes, 30 minutes, 3 hours and 12 hours.",
    },
    Operation {
        call: "POST /_control/webhooks/send",
        body: r#"{"to": "127.0.0.1:3000", "path": "/webhooks"}"#,
        does: "Posts the due webhooks to a receiver on this machine and returns the fate of each.",
    },
];
