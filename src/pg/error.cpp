#include "pg/error.hpp"

namespace dbopt::pg {

error::~error() {
    if (context_ != nullptr)
        MemoryContextDelete(context_);
}

const char *error::message() const noexcept {
    return data_ != nullptr && data_->message != nullptr ? data_->message : "";
}
const char *error::detail() const noexcept { return data_ != nullptr ? data_->detail : nullptr; }
const char *error::hint() const noexcept { return data_ != nullptr ? data_->hint : nullptr; }
const char *error::context() const noexcept { return data_ != nullptr ? data_->context : nullptr; }
int error::code() const noexcept { return data_ != nullptr ? data_->sqlerrcode : 0; }
std::string error::sqlstate() const { return unpack_sql_state(code()); }

bool error::cancels() const noexcept {
    switch (code()) {
    case ERRCODE_QUERY_CANCELED:
    case ERRCODE_ADMIN_SHUTDOWN:
    case ERRCODE_CRASH_SHUTDOWN:
    case ERRCODE_DATABASE_DROPPED:
        return true;
    default:
        return false;
    }
}

error &&error::within(std::string_view line) && {
    MemoryContext home = context_;
    ErrorData *data = data_;
    call([&] {
        const char *old = data->context;
        const int size = static_cast<int>(line.size());
        MemoryContext previous = MemoryContextSwitchTo(home);
        data->context = old != nullptr ? psprintf("%s\n%.*s", old, size, line.data())
                                       : psprintf("%.*s", size, line.data());
        MemoryContextSwitchTo(previous);
    });
    return std::move(*this);
}

std::pair<MemoryContext, ErrorData *> error::release() noexcept {
    return {std::exchange(context_, nullptr), std::exchange(data_, nullptr)};
}

namespace detail {

// Runs right after the jump. Copying and flushing here, before the throw, is what keeps elog's stack
// in order: an error left on it makes the next errfinish lose the outer one.
void throw_current_error(MemoryContext caller) {
    MemoryContext home =
        AllocSetContextCreate(TopMemoryContext, "dbopt error", ALLOCSET_SMALL_SIZES);
    MemoryContextSwitchTo(home);
    ErrorData *data = CopyErrorData();
    MemoryContextSwitchTo(caller);
    FlushErrorState();
    throw error(home, data);
}

void pending::keep(error &e) noexcept {
    auto [home, copied] = e.release();
    context = home;
    data = copied;
}

void pending::keep(int sqlerrcode, const char *message) noexcept {
    code = sqlerrcode;
    strlcpy(text, message, sizeof(text));
}

void pending::raise() const {
    if (data != nullptr) {
        // ErrorContext is reset when the error has been handled: the copy dies with it.
        MemoryContextSetParent(context, ErrorContext);
        if (data->elevel < ERROR)
            data->elevel = ERROR;
        ReThrowError(data);
    }
    ereport(ERROR, (errcode(code), errmsg("%s", text)));
    pg_unreachable();
}

void pending::warn() const noexcept {
    // Reporting a WARNING looks at interrupts at its end; quietly holds them. What is left that
    // could jump is memory running out inside elog itself: then the warning is lost, not the server.
    const int state = data != nullptr ? data->sqlerrcode : code;
    const char *message = data == nullptr ? text : data->message != nullptr ? data->message : "";
    try {
        guarded([&] {
            ereport(WARNING, (errcode(state), errmsg("dbopt: clean-up failed: %s", message)));
        });
    } catch (...) {
    }
    if (context != nullptr)
        MemoryContextDelete(context);
}

} // namespace detail

void raise(const report &r) {
    call([&] {
        ereport(ERROR, (errcode(r.code), errmsg("%s", r.message.c_str()),
                        r.detail.empty() ? 0 : errdetail("%s", r.detail.c_str()),
                        r.hint.empty() ? 0 : errhint("%s", r.hint.c_str())));
    });
    pg_unreachable();
}

static void emit(int level, std::string_view message, std::string_view detail,
                 std::string_view hint) {
    const auto length = [](std::string_view s) { return static_cast<int>(s.size()); };
    call([&] {
        ereport(level, (errmsg("%.*s", length(message), message.data()),
                        detail.empty() ? 0 : errdetail("%.*s", length(detail), detail.data()),
                        hint.empty() ? 0 : errhint("%.*s", length(hint), hint.data())));
    });
}

void notice(std::string_view message, std::string_view detail, std::string_view hint) {
    emit(NOTICE, message, detail, hint);
}
void warning(std::string_view message, std::string_view detail, std::string_view hint) {
    emit(WARNING, message, detail, hint);
}
void log(std::string_view message, std::string_view detail) { emit(LOG, message, detail, {}); }
void debug(std::string_view message) { emit(DEBUG1, message, {}, {}); }

} // namespace dbopt::pg
