// A short conversation with another server over libpq's simple protocol: PgBouncer's console knows no
// other. Never blocks beyond its timeout; a cancel of the session ends it at once.
// Name resolution is libpq's and blocks: use addresses or sockets where DNS is slow.
#pragma once
#include "pg/error.hpp"

struct pg_conn;

namespace dbopt::pg {

struct remote_rows {
    std::vector<std::string> columns;
    std::vector<std::vector<std::optional<std::string>>> rows;
    // Position by name; -1 when the other side (another version) does not send it.
    int column(std::string_view name) const;
    int64_t number(size_t row, std::string_view name) const; // 0 when absent or no number
    std::string text(size_t row, std::string_view name) const;
};

// Throws std::runtime_error with libpq's message (which holds no password) for whatever the other
// side or the network does; pg::error only for an interrupt.
class remote {
  public:
    // default_database: where the connection string names none.
    remote(const std::string &conninfo, const char *default_database, int64_t timeout_ms);
    ~remote();
    remote(const remote &) = delete;
    remote &operator=(const remote &) = delete;
    remote_rows query(const std::string &sql);

  private:
    void wait(bool read, bool write);
    [[noreturn]] void fail(const char *what) const;
    pg_conn *connection_ = nullptr;
    TimestampTz deadline_;
    int64_t timeout_ms_;
};

// Raises 22023 when the text is no valid connection string or carries a password.
void check_conninfo(const std::string &conninfo);

} // namespace dbopt::pg
