#include "monitor/outbox.hpp"
#include "monitor/monitor.hpp"
#include "pg/transaction.hpp"

namespace dbopt::monitor {

namespace {

// pg_net's function, and no other of that name: a stranger may own a schema called net. Called with all
// rights, it must be a superuser's.
bool has_pg_net() {
    return pg::scalar<bool>(
               "SELECT EXISTS (SELECT FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_depend d ON d.refclassid = "
               "'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid AND d.deptype = 'e' "
               "JOIN pg_catalog.pg_proc p ON p.oid = d.objid JOIN pg_catalog.pg_roles r ON r.oid = p.proowner "
               "WHERE e.extname = 'pg_net' AND r.rolsuper AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = "
               "pg_catalog.to_regprocedure('net.http_post(text,jsonb,jsonb,jsonb,integer)'))")
        .value_or(false);
}

// An error may quote the address, which may hold a secret; pg_monitor reads the outbox.
std::string without(std::string text, const std::string &secret) {
    for (size_t at = 0; !secret.empty() && (at = text.find(secret, at)) != std::string::npos;)
        text.replace(at, secret.size(), "...");
    return text;
}

} // namespace

void put_into_outbox(const std::string &json, bool critical) {
    pg::execute("INSERT INTO dbopt.alert_outbox (webhook, body) SELECT w.name, $1::pg_catalog.jsonb "
                "FROM dbopt.alert_webhook w WHERE w.enabled AND ($2 OR w.min_level = 'warning')",
                {json, critical});
}

void bound_outbox() {
    pg::execute("DELETE FROM dbopt.alert_outbox WHERE outbox_id <= (SELECT pg_catalog.max(outbox_id) FROM dbopt.alert_outbox) - 10000");
    pg::execute("DELETE FROM dbopt.alert_event WHERE event_id <= (SELECT pg_catalog.max(event_id) FROM dbopt.alert_event) - 100000");
}

int64_t send_alerts() {
    if (pg::scalar<bool>("SELECT pg_catalog.pg_is_in_recovery() OR NOT EXISTS (SELECT FROM dbopt.alert_outbox "
                         "WHERE sent_at IS NULL)").value_or(true) || !has_pg_net())
        return 0;
    int64_t sent = 0;
    const pg::result waiting = pg::query(
        "SELECT o.outbox_id, w.url, o.body::pg_catalog.text, w.headers::pg_catalog.text FROM dbopt.alert_outbox o JOIN dbopt.alert_webhook w "
        "ON w.name = o.webhook WHERE o.sent_at IS NULL AND w.enabled AND (o.retry_at IS NULL OR o.retry_at <= pg_catalog.clock_timestamp()) "
        "ORDER BY o.outbox_id LIMIT 100 FOR UPDATE OF o SKIP LOCKED");
    for (const pg::row &r : waiting) {
        const int64_t id = r.get<int64_t>(0);
        const std::string url = r.get<std::string>(1);
        // pg_net sends after COMMIT and retries nothing: what it accepts is sent as far as we know.
        const auto failure = pg::subtransaction([&] {
            pg::execute("UPDATE dbopt.alert_outbox SET sent_at = pg_catalog.clock_timestamp(), request_id = "
                        "net.http_post($2, $3::pg_catalog.jsonb, '{}'::pg_catalog.jsonb, $4::pg_catalog.jsonb, 5000), error = NULL "
                        "WHERE outbox_id = $1",
                        {id, url, r.get<std::string>(2), r.get<std::string>(3)});
            ++sent;
        });
        if (failure)
            pg::execute("UPDATE dbopt.alert_outbox SET attempts = attempts + 1, error = pg_catalog.left($2, 500), retry_at = "
                        "pg_catalog.clock_timestamp() + least(interval '30 seconds' * pg_catalog.power(2, least(attempts, 7)), interval '1 hour') "
                        "WHERE outbox_id = $1", {id, without(failure->message(), url)});
    }
    return sent;
}

} // namespace dbopt::monitor
