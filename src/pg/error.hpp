// Errors across the border between the server (longjmp) and C++ (exceptions).
//
//   pg::call(f)      runs server code; a raised ERROR becomes a thrown pg::error
//   pg::boundary(f)  body of every function the server calls; an exception becomes an ERROR again
//   pg::quietly(f)   for destructors: an error becomes a WARNING
//   pg::raise(...)   throws a pg::error of our own
//
// The lambda of pg::call must own nothing with a destructor: the jump skips it. Capture by reference.
// Catching pg::error and going on needs pg::subtransaction (transaction.hpp) or a whole transaction.
// Idea: src/include/utils/elog.h (PG_TRY), cppgres (the whole error travels), measured in
// test/pgtest/.
#pragma once
#include "pg/server.hpp"
#include <exception>
#include <new>

namespace dbopt::pg {

// A server error as an exception. It owns one small memory context that holds the ErrorData, so that
// catching a hundred thousand of them leaks nothing. Move-only.
class error : public std::exception {
  public:
    error(MemoryContext context, ErrorData *data) noexcept : context_(context), data_(data) {}
    error(error &&other) noexcept
        : context_(std::exchange(other.context_, nullptr)), data_(std::exchange(other.data_, nullptr)) {}
    error(const error &) = delete;
    error &operator=(const error &) = delete;
    ~error() override;

    const char *what() const noexcept override { return message(); }
    const char *message() const noexcept;
    const char *detail() const noexcept; // nullptr when there is none; so are hint and context
    const char *hint() const noexcept;
    const char *context() const noexcept;
    int code() const noexcept;           // as MAKE_SQLSTATE packs it
    std::string sqlstate() const;        // five characters
    bool cancels() const noexcept;       // 57014, 57P01, 57P02 …: never swallow these
    // Adds a line to CONTEXT and returns the error, to be thrown on.
    error &&within(std::string_view line) &&;
    // Gives the ErrorData away; the caller owns the context. Used by boundary.
    std::pair<MemoryContext, ErrorData *> release() noexcept;

  private:
    MemoryContext context_;
    ErrorData *data_;
};

namespace detail {
[[noreturn]] void throw_current_error(MemoryContext caller);

// What boundary remembers of an exception until all C++ scopes are closed. Trivially destructible.
struct pending {
    MemoryContext context = nullptr;
    ErrorData *data = nullptr;
    char text[256] = {};
    int code = 0;
    void keep(error &e) noexcept;
    void keep(int sqlerrcode, const char *message) noexcept;
    [[noreturn]] void raise() const;
    void warn() const noexcept;
};

// Puts the server's jump target back on every way out: a C++ exception may leave a guard, too, when
// guards are nested. It stands outside of the jump's reach, so no destructor is skipped.
struct exception_stack_scope {
    sigjmp_buf *stack = PG_exception_stack;
    ErrorContextCallback *callbacks = error_context_stack;
    void restore() const noexcept {
        PG_exception_stack = stack;
        error_context_stack = callbacks;
    }
    ~exception_stack_scope() { restore(); }
};

// The guard proper, without allocation and without saving the signal mask (as PG_TRY does).
template <class F> inline void guarded(F &&f) {
    MemoryContext caller = CurrentMemoryContext;
    const exception_stack_scope scope;
    sigjmp_buf here;
    if (sigsetjmp(here, 0) == 0) {
        PG_exception_stack = &here;
        f();
    } else {
        scope.restore();
        throw_current_error(caller);
    }
}
} // namespace detail

// Runs f(), which may raise; returns its (trivially destructible) result or throws pg::error.
template <class F> inline auto call(F &&f) {
    using R = std::invoke_result_t<F &>;
    if constexpr (std::is_void_v<R>) {
        detail::guarded(f);
    } else {
        static_assert(std::is_trivially_destructible_v<R>, "a jump would skip the destructor");
        alignas(R) unsigned char space[sizeof(R)];
        detail::guarded([&] { new (space) R(f()); });
        return *std::launder(reinterpret_cast<R *>(space));
    }
}

// Runs f() and turns every exception into an ERROR once all of f's scopes are closed. Exceptions
// that are not pg::error arrive as XX000, std::bad_alloc as 53200, std::invalid_argument as 22023.
namespace detail {
template <class F> inline bool contained(F &f, pending &p) noexcept {
    try {
        f();
        return true;
    } catch (error &e) {
        p.keep(e);
    } catch (const std::bad_alloc &) {
        p.keep(ERRCODE_OUT_OF_MEMORY, "out of memory");
    } catch (const std::invalid_argument &e) {
        p.keep(ERRCODE_INVALID_PARAMETER_VALUE, e.what());
    } catch (const std::exception &e) {
        p.keep(ERRCODE_INTERNAL_ERROR, e.what());
    } catch (...) {
        p.keep(ERRCODE_INTERNAL_ERROR, "unknown C++ exception");
    }
    return false;
}
} // namespace detail

template <class F> inline auto boundary(F &&f) {
    using R = std::invoke_result_t<F &>;
    detail::pending p;
    if constexpr (std::is_void_v<R>) {
        if (!detail::contained(f, p))
            p.raise();
    } else {
        static_assert(std::is_trivially_destructible_v<R>);
        R result{};
        auto body = [&] { result = f(); };
        if (!detail::contained(body, p))
            p.raise();
        return result;
    }
}

// For destructors and clean-up: what fails becomes a WARNING in the log, and life goes on. A cancel or
// a shutdown that arrives meanwhile waits until f is through: swallowing it would lose it. An error
// zeroes the server's hold count, so the count is put back, never decremented.
template <class F> inline void quietly(F &&f) noexcept {
    detail::pending p;
    const uint32 held = InterruptHoldoffCount;
    auto body = [&] { call(f); };
    InterruptHoldoffCount = held + 1;
    const bool clean = detail::contained(body, p);
    InterruptHoldoffCount = held + 1;
    if (!clean)
        p.warn();
    InterruptHoldoffCount = held;
}

// ---- raising our own errors ----
struct report {
    int code;                // ERRCODE_…
    std::string message;
    std::string detail = {};
    std::string hint = {};
};
[[noreturn]] void raise(const report &r);

// Messages that do not interrupt. Written through ereport, so client_min_messages applies.
void notice(std::string_view message, std::string_view detail = {}, std::string_view hint = {});
void warning(std::string_view message, std::string_view detail = {}, std::string_view hint = {});
void log(std::string_view message, std::string_view detail = {});
void debug(std::string_view message);

// CHECK_FOR_INTERRUPTS as a call that throws. Put one in every long loop.
inline void check_interrupts() {
    if (INTERRUPTS_PENDING_CONDITION())
        call([] { CHECK_FOR_INTERRUPTS(); });
}

} // namespace dbopt::pg
