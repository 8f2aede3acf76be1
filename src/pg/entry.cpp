#include "pg/entry.hpp"

extern "C" {
#include "catalog/pg_proc.h"
}

namespace dbopt::pg {

void arguments::missing(int n) const {
    std::string name = std::to_string(n + 1);
    call([&] {
        Oid *types;
        char **names = nullptr, *modes = nullptr;
        HeapTuple t = SearchSysCache1(PROCOID, ObjectIdGetDatum(info_->flinfo->fn_oid));
        if (HeapTupleIsValid(t)) {
            const int total = get_func_arg_info(t, &types, &names, &modes);
            if (names != nullptr && n < total && names[n][0] != '\0')
                name = names[n];
            ReleaseSysCache(t);
        }
    });
    raise({.code = ERRCODE_NULL_VALUE_NOT_ALLOWED,
           .message = "argument \"" + name + "\" must not be NULL",
           .hint = "Give a value, or leave the argument out where it has a default."});
}

Oid arguments::declared(int n) const {
    const Oid seen = type(n);
    if (OidIsValid(seen))
        return seen;
    // Called without an expression (a trigger, DirectFunctionCall): ask the catalog.
    return call([&] {
        Oid *types;
        int nargs = 0;
        get_func_signature(info_->flinfo->fn_oid, &types, &nargs);
        return n < nargs ? types[n] : InvalidOid;
    });
}

Datum arguments::result(const value &v) const {
    if (v.is_null()) {
        info_->isnull = true;
        return 0;
    }
    const Oid type = call([&] { return get_func_rettype(info_->flinfo->fn_oid); });
    return to_datum(v, type);
}

Datum arguments::record(std::vector<value> row) const {
    TupleDesc desc = call([&] {
        TupleDesc d;
        if (get_call_result_type(info_, nullptr, &d) != TYPEFUNC_COMPOSITE)
            elog(ERROR, "function does not return a row");
        return BlessTupleDesc(d);
    });
    std::vector<Datum> datums(desc->natts, Datum{0});
    auto nulls = std::make_unique<bool[]>(desc->natts);
    row.resize(desc->natts);
    for (int i = 0; i < desc->natts; ++i) {
        nulls[i] = row[i].is_null();
        if (!nulls[i])
            datums[i] = to_datum(row[i], TupleDescAttr(desc, i)->atttypid);
    }
    return call(
        [&] { return HeapTupleGetDatum(heap_form_tuple(desc, datums.data(), nulls.get())); });
}

bool arguments::may_commit() const {
    return info_->context != nullptr && IsA(info_->context, CallContext) &&
           !castNode(CallContext, info_->context)->atomic;
}

rows::rows(const arguments &args) {
    call([&] { InitMaterializedSRF(args.info(), 0); });
    set_ = reinterpret_cast<ReturnSetInfo *>(args.info()->resultinfo);
    scratch_ = call([] {
        return AllocSetContextCreate(CurrentMemoryContext, "dbopt result row", ALLOCSET_SMALL_SIZES);
    });
}

void rows::add_row(const std::vector<value> &row) {
    TupleDesc desc = set_->setDesc;
    if (static_cast<int>(row.size()) != desc->natts)
        raise({.code = ERRCODE_INTERNAL_ERROR,
               .message = "result row has " + std::to_string(row.size()) + " columns instead of " +
                          std::to_string(desc->natts)});
    MemoryContext previous = MemoryContextSwitchTo(scratch_);
    std::vector<Datum> datums(row.size(), Datum{0});
    auto nulls = std::make_unique<bool[]>(row.size());
    for (size_t i = 0; i < row.size(); ++i) {
        nulls[i] = row[i].is_null();
        if (!nulls[i])
            datums[i] = to_datum(row[i], TupleDescAttr(desc, i)->atttypid);
    }
    MemoryContextSwitchTo(previous);
    call([&] {
        tuplestore_putvalues(set_->setResult, desc, datums.data(), nulls.get());
        MemoryContextReset(scratch_);
    });
    ++count_;
}

} // namespace dbopt::pg
