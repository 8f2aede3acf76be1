// Transactions of workers, subtransactions, and the commits of procedures.
#pragma once
#include "pg/entry.hpp"

namespace dbopt::pg {

// A transaction of a background worker, with a snapshot. Aborts unless commit() was reached.
class transaction {
  public:
    transaction();
    ~transaction();
    transaction(const transaction &) = delete;
    transaction &operator=(const transaction &) = delete;
    void commit();

  private:
    MemoryContext caller_;
    bool open_ = true;
};

namespace detail {
struct subtransaction_state {
    MemoryContext caller;
    ResourceOwner owner;
};
subtransaction_state begin_subtransaction();
void release_subtransaction(const subtransaction_state &s);
void rollback_subtransaction(const subtransaction_state &s);
} // namespace detail

// Runs f() in a subtransaction. Returns the error when it failed and was rolled back; nothing when
// it was kept. A cancel or a shutdown is never swallowed: it is rolled back and thrown on.
template <class F> std::optional<error> subtransaction(F &&f, bool keep = true) {
    const detail::subtransaction_state s = detail::begin_subtransaction();
    std::optional<error> failure;
    std::exception_ptr other;
    try {
        f();
        if (keep) {
            detail::release_subtransaction(s);
            return std::nullopt;
        }
    } catch (error &e) {
        failure.emplace(std::move(e));
    } catch (...) {
        other = std::current_exception();
    }
    detail::rollback_subtransaction(s);
    if (other)
        std::rethrow_exception(other);
    if (failure && failure->cancels())
        throw std::move(*failure);
    return failure;
}

// As subtransaction, but what f did is rolled back in any case, with the locks it took.
template <class F> std::optional<error> rolled_back(F &&f) {
    return subtransaction(std::forward<F>(f), false);
}

// For procedures under CALL: ends the transaction and begins the next. The procedure holds no
// snapshot and no lock afterwards. Raises 25001 with `what` when inside a transaction block.
void require_toplevel_call(const arguments &args, std::string_view what);
void commit_and_restart();

// Sets a setting until the end of the current (sub)transaction, as SET LOCAL.
void set_local(const char *name, const char *value);

} // namespace dbopt::pg
