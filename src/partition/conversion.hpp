// Inside the partition room: a table copied beside itself while it is in use, then swapped.
//
// Used by partition_convert (a plain table becomes partitioned) and by the draining of a default
// partition. Each step is one transaction that also stores how far it came in dbopt.partition_work,
// so a crash loses at most the running step, and calling again goes on:
//
//   prepare  log table and capture trigger on the source; staging table with its partitions
//   copy     blocks of the source, many rows per WAL record (pg/bulk_copy.hpp), by several processes
//   index    partition by partition, by several processes: rows copied twice go, then its indexes
//   catch up what was changed meanwhile; ANALYZE; proof that both hold the same rows (pg/contents.hpp)
//   swap     one short transaction under ACCESS EXCLUSIVE
//
// The log holds only the identities of changed rows. Applying it deletes these rows from staging and
// copies their present state again; order does not matter and doing it twice does no harm.
#pragma once
#include "partition/sets.hpp"
#include "pg/advisory.hpp"
#include "pg/relation.hpp"
#include <map>

namespace dbopt::partition {

struct work {
    Oid source = InvalidOid;
    std::string kind;            // convert, adopt, drain, split, revert
    std::string phase;           // copy, settle, index, catchup, swap, drop, done
    Oid parent = InvalidOid;     // drain: the partitioned table
    Oid staging = InvalidOid;
    std::string key_column, step;
    set_config set;              // how staging is cut
    bool accept_lost = false;
    int64_t blocks_done = 0, blocks_total = -1, rows_copied = 0, changes_applied = 0;
    // What a swap put away, for the way back: "oid name" of the old table's indexes, and foreign keys
    // that referred to it, each as "oid command".
    std::vector<std::string> index_names{}, lost_keys{};
};

std::optional<work> load_work(Oid source);
// The finished conversion that made this partitioned table.
std::optional<work> load_conversion_to(Oid staging);
void store_work(const work &w, const std::string &note);
void forget_work(Oid source);

// Names that belong to one conversion, in the source's schema.
struct work_names {
    std::string log, batch, function, trigger, staging; // qualified, but for the trigger
    work_names(Oid source, Oid schema);
};

// Columns that identify a row of the source (primary key, or a unique index over NOT NULL columns),
// then the partition key; quoted. Empty when there is no such index.
std::vector<std::string> identity_columns(Oid source, const std::string &key_column);
std::vector<std::string> stored_columns(Oid source); // all but generated ones, quoted
// How changed rows are found again: by their key, or where there is none by all their values as text.
// Then rows that look alike are one: all of them go, and all that there are by now come back.
struct row_identity {
    std::vector<std::string> columns;
    bool whole = false; // finding them reads the whole table: never while others wait
    std::map<std::string, std::string> operators{}; // column to its equality, which may be in any schema
    std::string same(const std::string &a, const std::string &b) const;
    std::string distinct(const std::string &from) const;
};
row_identity identity_of(const work &w);

// Forced row-level security, which binds the owner as well: a copy would lack rows.
bool hides_rows_from_owner(Oid table);
// `only_when`: a condition on NEW; without it every change is noted, and TRUNCATE refused.
void install_capture(const work &w, const std::string &only_when = "");
void remove_capture(Oid source);
int64_t waiting_changes(const work &w);
int64_t apply_changes(work &w);
// ONLY, where the source is a plain table.
std::string only(const work &w);
// Ranges in which source and staging differ by count or hash; the changes still waiting left out.
std::vector<std::string> compare_contents(const work &w);
// Runs swap() at a moment when the log is empty, writers wait, and every snapshot that is still in use
// sees staging as it is; retries until it returned true. Nobody waits behind one try for longer than
// three times hold_ms plus what the swap takes. `detail` says in partition_conversions what it waits for.
void swap_at_a_calm_moment(work &w, int64_t hold_ms, const std::function<bool()> &swap);

// Tries f once in a subtransaction under dbopt.partition_lock_timeout. False: a lock was missing, `why`
// says what the server said.
bool try_briefly(const std::function<void()> &f, int64_t timeout_ms = 0, std::string *why = nullptr);
// Tries briefly, again and again for dbopt.partition_lock_wait, and commits; 55P03 naming the relation when all fail.
void within_lock_wait(Oid relation, const std::function<void()> &f);

struct plan_row {
    int step;
    std::string kind, item, detail, command; // kind: obstacle, loss, step
};
struct convert_options {
    Oid source = InvalidOid;
    std::string key_column, step;
    int64_t max_lock_ms = 200;
    bool accept_lost = false;
    bool adopt = false; // the table becomes the first partition as it is, and is split afterwards
};
std::vector<plan_row> convert_plan(const convert_options &o);
void convert(const convert_options &o); // commits; under CALL only
// Either table of a conversion. After the swap it commits, and calls require_toplevel() before.
void convert_abort(Oid table, const std::function<void()> &require_toplevel);
std::vector<plan_row> dependents_of(Oid table, bool accept_lost); // that stand in the way of a swap
// revert.cpp
void revert(const work &finished); // commits; under CALL only
void give_up_revert(const work &w);
inline constexpr uint32_t work_kind = 0x0DB07001;
set_config cutting(const convert_options &o, const pg::relation_info &info);
Oid make_staging(const std::string &staging, const pg::relation_info &info, const convert_options &o);
void make_partition(const open_set &s, Oid source, const core::bounds *range);
void begin_work(const convert_options &o, const char *kind, const char *phase, const char *note,
                const std::function<void(work &, const open_set &)> &fill);
// carry.cpp: ALTER STATISTICS ... SET STATISTICS, which LIKE does not copy
void statistics_targets(Oid source, Oid copy);
bool build_next_index(const work &w);
// likeness.cpp
// Gives the copy the rights and row security that the source has by now. True when it lacked some.
bool align_rights(const work &w);
std::vector<std::string> differences(Oid source, Oid copy, bool not_null); // columns and checks
void refuse_if_altered(const work &w); // since the copy was made
// adopt.cpp
void prepare_adoption(const convert_options &o);
void adopt(work &w, const convert_options &o); // commits
std::vector<std::string> own_indexes(Oid source);
void undo_preparation(const work &w);
void refuse_if_busy(const pg::work_lock &lock, Oid table);
void copy_and_prove(work &w, int64_t blocks_a_batch);
bool build_index_made_since(const work &w, const std::vector<std::string> &known, bool only_look);
void prove(const work &w); // that the contents are equal; a transaction of its own
void build_partition(const work &w, Oid leaf);
void tune_for_building();
// pieces.cpp
enum class piece_result { done, elsewhere, none }; // elsewhere: others are at what is left
void make_copy_pieces(work &w, int64_t blocks_a_batch);
void make_build_pieces(const work &w);
piece_result do_next_piece(Oid source);
int64_t rows_of_pieces(Oid source);
void forget_pieces(Oid source);
void call_helpers(const work &w);
void assist(Oid source); // the body of a helper's CALL; commits
void catch_up(work &w);
void swap_converted(work &w);           // one transaction, locks taken by the caller's try
void copy_rights(Oid source, Oid target); // likeness.cpp: who may do what, and row security
bool anything_to_drain(open_set &s);
void drain_default(Oid parent, int64_t batch_rows); // commits; under CALL only
void split_partition(Oid partition, int64_t batch_rows);
// Foreign keys for partitions that are known to satisfy them: unchecked, then marked as checked.
void add_trusted_keys(Oid under, const std::vector<std::pair<std::string, std::string>> &keys);
std::vector<std::pair<std::string, std::string>> outgoing_keys(Oid table);
// Those that are NOT VALID, of the table or of its partitions.
std::vector<std::pair<std::string, std::string>> unproven_keys(Oid table);
void add_unproven_keys(Oid under, const std::vector<std::pair<std::string, std::string>> &keys);

} // namespace dbopt::partition
