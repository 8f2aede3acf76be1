#include "pg/remote.hpp"
#include <cstdlib>
#include <cstring>
#include <libpq-fe.h>
#include <stdexcept>

extern "C" {
#include "utils/wait_event.h"
}

namespace dbopt::pg {

int remote_rows::column(std::string_view name) const {
    for (size_t i = 0; i < columns.size(); ++i)
        if (columns[i] == name)
            return static_cast<int>(i);
    return -1;
}

std::string remote_rows::text(size_t row, std::string_view name) const {
    const int c = column(name);
    return c < 0 ? std::string() : rows[row][static_cast<size_t>(c)].value_or("");
}

int64_t remote_rows::number(size_t row, std::string_view name) const {
    return strtoll(text(row, name).c_str(), nullptr, 10);
}

namespace {

struct free_options {
    void operator()(PQconninfoOption *o) const { PQconninfoFree(o); }
};
using conninfo_options = std::unique_ptr<PQconninfoOption, free_options>;

conninfo_options parse(const std::string &conninfo) {
    char *message = nullptr;
    conninfo_options options(PQconninfoParse(conninfo.c_str(), &message));
    // libpq may quote parts of the text, a password among them: its message stays here.
    if (message != nullptr)
        PQfreemem(message);
    return options;
}

bool names_database(const std::string &conninfo) {
    const conninfo_options options = parse(conninfo);
    for (const PQconninfoOption *o = options.get(); o != nullptr && o->keyword != nullptr; ++o)
        if (strcmp(o->keyword, "dbname") == 0 && o->val != nullptr)
            return true;
    return false;
}

} // namespace

// ERROR must not jump over the guard of a half-made object, so the constructor cleans up by hand.
remote::remote(const std::string &conninfo, const char *default_database, int64_t timeout_ms)
    : deadline_(TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms)), timeout_ms_(timeout_ms) {
    // The first dbname is taken apart as a connection string, a second one is a plain name.
    const char *second = names_database(conninfo) ? nullptr : "dbname";
    const char *keys[] = {"dbname", "application_name", second, nullptr};
    const char *values[] = {conninfo.c_str(), "dbopt", default_database, nullptr};
    connection_ = PQconnectStartParams(keys, values, 1);
    if (connection_ == nullptr)
        throw std::bad_alloc();
    try {
        if (PQstatus(connection_) == CONNECTION_BAD)
            fail("cannot connect");
        for (PostgresPollingStatusType s = PGRES_POLLING_WRITING; s != PGRES_POLLING_OK;
             s = PQconnectPoll(connection_)) {
            if (s == PGRES_POLLING_FAILED)
                fail("cannot connect");
            wait(s == PGRES_POLLING_READING, s == PGRES_POLLING_WRITING);
        }
    } catch (...) {
        PQfinish(connection_);
        throw;
    }
}

remote::~remote() { PQfinish(connection_); }

void remote::fail(const char *what) const {
    std::string message = PQerrorMessage(connection_);
    while (!message.empty() && message.back() == '\n')
        message.pop_back();
    throw std::runtime_error(message.empty() ? what : message);
}

void remote::wait(bool read, bool write) {
    const int64_t left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline_);
    if (left <= 0)
        throw std::runtime_error("no answer within " + std::to_string(timeout_ms_) + " ms");
    const int socket = PQsocket(connection_);
    call([&] {
        const int events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH | (read ? WL_SOCKET_READABLE : 0) |
                           (write ? WL_SOCKET_WRITEABLE : 0);
        const int seen = WaitLatchOrSocket(MyLatch, events, socket, static_cast<long>(left), PG_WAIT_EXTENSION);
        if ((seen & WL_LATCH_SET) != 0)
            ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    });
}

remote_rows remote::query(const std::string &sql) {
    struct clear {
        void operator()(PGresult *r) const { PQclear(r); }
    };
    using result = std::unique_ptr<PGresult, clear>;
    if (PQsendQuery(connection_, sql.c_str()) == 0)
        fail("cannot send");
    while (PQflush(connection_) == 1)
        wait(true, true);
    result last;
    for (;;) {
        while (PQisBusy(connection_) != 0) {
            wait(true, false);
            if (PQconsumeInput(connection_) == 0)
                fail("connection lost");
        }
        result next(PQgetResult(connection_));
        if (!next)
            break;
        last = std::move(next);
    }
    if (!last || PQresultStatus(last.get()) != PGRES_TUPLES_OK)
        fail("no rows");
    remote_rows out;
    for (int c = 0; c < PQnfields(last.get()); ++c)
        out.columns.emplace_back(PQfname(last.get(), c));
    for (int r = 0; r < PQntuples(last.get()); ++r) {
        auto &row = out.rows.emplace_back();
        for (int c = 0; c < PQnfields(last.get()); ++c)
            row.push_back(PQgetisnull(last.get(), r, c) != 0
                              ? std::nullopt
                              : std::optional<std::string>(PQgetvalue(last.get(), r, c)));
    }
    return out;
}

void check_conninfo(const std::string &conninfo) {
    const conninfo_options options = parse(conninfo);
    if (!options)
        raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
               .message = "invalid connection string",
               .hint = "For example: 'host=/var/run/postgresql port=6432 user=stats'."});
    for (const PQconninfoOption *o = options.get(); o->keyword != nullptr; ++o)
        if ((strcmp(o->keyword, "password") == 0 || strcmp(o->keyword, "sslpassword") == 0) && o->val != nullptr)
            raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                   .message = "a connection string with a password is not stored",
                   .hint = "Put it into the server user's ~/.pgpass, or use passfile= or service=."});
}

} // namespace dbopt::pg
