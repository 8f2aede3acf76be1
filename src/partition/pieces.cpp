// Pieces of a conversion: ranges of blocks to copy, partitions to index. They are rows of
// dbopt.partition_piece. Whoever locks a row does the piece in that same transaction and marks it as
// done, so any number of processes may take part, and one that dies leaves the piece to the others.
#include "partition/conversion.hpp"
#include "pg/bulk_copy.hpp"
#include "pg/machine.hpp"
#include "pg/parallel.hpp"
#include "pg/pause.hpp"
#include "pg/query.hpp"
#include "pg/queue.hpp"
#include "pg/relation.hpp"
#include "pg/steady_wal.hpp"
#include "pg/transaction.hpp"
#include "pg/wal_ahead.hpp"
#include <algorithm>

namespace dbopt::partition {

namespace {

constexpr int64_t smallest_for_helpers = 4096; // blocks: below that a process more costs more than it saves

constexpr int64_t wal_of_a_piece = 128 << 20;

bool any_pieces(Oid source) {
    return pg::scalar<bool>("SELECT EXISTS (SELECT FROM dbopt.partition_piece WHERE source = $1)", {source}).value_or(false);
}

int64_t copy(const work &w, int64_t first, int64_t end) {
    pg::partitioned_table table = pg::read_partitions({w.staging}, {w.set.unit})[0];
    std::vector<pg::copy_target> targets;
    for (const pg::partition_entry &e : table.partitions)
        targets.push_back({e.relation, e.range});
    std::sort(targets.begin(), targets.end(), [](const auto &a, const auto &b) { return a.range < b.range; });
    const int16_t attribute = pg::call([&] { return get_attnum(w.source, w.key_column.c_str()); });
    const pg::as_owner owner(pg::owner_of(w.source));
    return pg::bulk_copy({.source = w.source, .first_block = static_cast<uint32_t>(first), .end_block = static_cast<uint32_t>(end),
                          .key_attribute = attribute, .unit = w.set.unit, .targets = &targets,
                          .default_leaf = table.has_default ? table.default_partition.relation : InvalidOid});
}

struct piece {
    int64_t n, first, end;
    Oid relation;
};

// Locked until the transaction ends.
std::optional<piece> claim(Oid source) {
    const pg::as_owner keeper(extension_owner());
    std::optional<piece> p;
    std::optional<pg::error> failure = pg::subtransaction([&] {
        const pg::result found = pg::query("SELECT n, first_block, end_block, coalesce(relation::oid, 0::oid) FROM dbopt.partition_piece "
                                           "WHERE source = $1 AND NOT done ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED", {source});
        if (!found.empty())
            p = {found[0].get<int64_t>(0), found[0].get_or<int64_t>(1, 0), found[0].get_or<int64_t>(2, 0), found[0].get<Oid>(3)};
    });
    // Under REPEATABLE READ the row may have been done since the snapshot: the next look knows.
    if (failure && failure->code() != ERRCODE_T_R_SERIALIZATION_FAILURE)
        throw std::move(*failure);
    return p;
}

} // namespace

void make_copy_pieces(work &w, int64_t blocks_a_batch) {
    const pg::as_owner keeper(extension_owner());
    if (any_pieces(w.source))
        return;
    w.blocks_total = pg::blocks_of(w.source); // later blocks hold captured rows only
    pg::execute("INSERT INTO dbopt.partition_piece (source, n, first_block, end_block) SELECT $1::oid, g, g * $2, least((g + 1) * $2, $3) "
                "FROM generate_series(0, ($3 - 1) / $2) g WHERE $3 > 0", {w.source, blocks_a_batch, w.blocks_total});
}

int64_t rows_of_pieces(Oid source) {
    const pg::as_owner keeper(extension_owner());
    return pg::scalar<int64_t>("SELECT sum(rows_copied)::bigint FROM dbopt.partition_piece WHERE source = $1", {source}).value_or(0);
}

void forget_pieces(Oid source) {
    const pg::as_owner keeper(extension_owner());
    pg::execute("DELETE FROM dbopt.partition_piece WHERE source = $1", {source});
}

// Large partitions first, so that the processes end together.
void make_build_pieces(const work &w) {
    forget_pieces(w.source);
    const pg::as_owner keeper(extension_owner());
    pg::execute("INSERT INTO dbopt.partition_piece (source, n, relation) SELECT $1::oid, row_number() OVER (ORDER BY pg_relation_size(relid) DESC), relid "
                "FROM pg_partition_tree($2::oid::regclass) WHERE isleaf", {w.source, w.staging});
}

piece_result do_next_piece(Oid source) {
    const std::optional<work> w = load_work(source);
    if (!w)
        return piece_result::none;
    const std::optional<piece> p = claim(source);
    if (!p) {
        const pg::as_owner keeper(extension_owner());
        return pg::scalar<bool>("SELECT EXISTS (SELECT FROM dbopt.partition_piece WHERE source = $1 AND NOT done)", {source}).value_or(false)
                   ? piece_result::elsewhere : piece_result::none;
    }
    pg::make_wal_ahead(wal_of_a_piece);
    tune_for_building();
    const pg::steady_wal calm;
    int64_t rows = 0;
    if (p->relation == InvalidOid)
        rows = copy(*w, p->first, p->end);
    else
        build_partition(*w, p->relation);
    const pg::as_owner keeper(extension_owner());
    pg::execute("UPDATE dbopt.partition_piece SET done = true, rows_copied = $3 WHERE source = $1 AND n = $2", {source, p->n, rows});
    crash_point(w->kind + ":piece");
    return piece_result::done;
}

void call_helpers(const work &w) {
    const int64_t blocks = pg::blocks_of(w.source);
    if (blocks < smallest_for_helpers || !pg::workers_available() || pg::area_paused("partition"))
        return;
    const int helpers = std::min(config.copy_helpers, std::max(1, pg::read_machine().cpus - 1));
    const Oid owner = pg::owner_of(w.source);
    for (int i = 0; i < helpers; ++i)
        (void)pg::enqueue({.area = "partition", .command = "CALL dbopt._partition_assist(" + std::to_string(w.source) + "::oid::regclass)",
                           .run_as = pg::can_run_as(owner) ? owner : extension_owner(), .priority = 20});
}

void assist(Oid source) {
    pg::require_owner(source);
    constexpr int most_idle_rounds = 250; // of 20 ms; between two phases nothing is to be done for a moment
    for (int idle = 0; idle < most_idle_rounds;) {
        const std::optional<work> w = load_work(source);
        if (!w || (w->phase != "copy" && w->phase != "settle" && w->phase != "index"))
            return;
        const piece_result r = do_next_piece(source);
        pg::commit_and_restart();
        idle = r == piece_result::done ? 0 : idle + 1;
        if (r != piece_result::done)
            pg::pause(20);
    }
}

} // namespace dbopt::partition
