#include "pg/transaction.hpp"

namespace dbopt::pg {

transaction::transaction() : caller_(CurrentMemoryContext) {
    call([] {
        SetCurrentStatementStartTimestamp();
        StartTransactionCommand();
        PushActiveSnapshot(GetTransactionSnapshot());
    });
}

void transaction::commit() {
    call([] {
        PopActiveSnapshot();
        CommitTransactionCommand();
    });
    open_ = false;
    MemoryContextSwitchTo(caller_);
    quietly([] { pgstat_report_stat(false); });
}

transaction::~transaction() {
    if (!open_)
        return;
    quietly([] { AbortOutOfAnyTransaction(); });
    MemoryContextSwitchTo(caller_);
}

namespace detail {

subtransaction_state begin_subtransaction() {
    const subtransaction_state s{CurrentMemoryContext, CurrentResourceOwner};
    call([&] {
        BeginInternalSubTransaction(nullptr);
        MemoryContextSwitchTo(s.caller);
    });
    return s;
}

void release_subtransaction(const subtransaction_state &s) {
    call([&] {
        ReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(s.caller);
        CurrentResourceOwner = s.owner;
    });
}

void rollback_subtransaction(const subtransaction_state &s) {
    call([&] {
        RollbackAndReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(s.caller);
        CurrentResourceOwner = s.owner;
    });
}

} // namespace detail

void require_toplevel_call(const arguments &args, std::string_view what) {
    if (!args.may_commit())
        raise({.code = ERRCODE_ACTIVE_SQL_TRANSACTION,
               .message = std::string(what) + " cannot run inside a transaction block",
               .detail = "It commits before it waits, so that it holds no lock and no snapshot.",
               .hint = "Call it outside of BEGIN ... COMMIT, with autocommit on, and not from a function."});
}

void commit_and_restart() {
    call([] {
        MemoryContext caller = CurrentMemoryContext;
        if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
            elog(ERROR, "SPI_connect failed");
        SPI_commit();
        SPI_finish();
        MemoryContextSwitchTo(caller);
    });
}

void set_local(const char *name, const char *setting) {
    call([&] {
        (void)set_config_option(name, setting, superuser() ? PGC_SUSET : PGC_USERSET, PGC_S_SESSION,
                                GUC_ACTION_LOCAL, true, 0, false);
    });
}

} // namespace dbopt::pg
