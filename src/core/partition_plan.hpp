// What a set of range partitions needs now: pure, from its bounds, its rules and the time.
#pragma once
#include "core/calendar.hpp"
#include <vector>

namespace dbopt::core {

struct bounds {
    position lower, upper; // [lower, upper)
    auto operator<=>(const bounds &) const = default;
};

struct partition_state {
    bounds range;
    bool pending = false; // a DETACH CONCURRENTLY that was not finished
    int id = 0;           // the caller's, handed back
    bool fine = false;    // it ends after range.upper and before the position that follows
};

struct partition_rules {
    int premake = 3;
    std::optional<position> start;  // nothing is created before it
    std::optional<position> cutoff; // partitions that end at or before it are retired
    int max_gap = 10000;            // a hole of more steps than this is reported, not filled
    position lowest = minus_infinity, highest = infinity; // what the key's type can hold
};

struct partition_plan {
    std::vector<bounds> create;     // ahead of now, and holes
    std::vector<int> retire;        // ids, oldest first
    std::vector<int> finalize;
    std::vector<bounds> gaps;       // holes between existing partitions (also in create, if filled)
    std::vector<bounds> unfilled;   // the part before now of holes that are too long to fill
    std::vector<bounds> overlaps;   // impossible in one set; shows a bound that was not understood
    bool open_ended = false;        // a partition reaches to MAXVALUE: nothing can be made ahead
    int ahead = 0;                  // whole partitions after the one of now, before this plan
};

// `parts` are sorted by lower bound here. `now` is a position: the clock, or the highest id.
partition_plan plan_partitions(const calendar &cal, const partition_rules &rules,
                               std::vector<partition_state> &parts, position now);

// Cuts [from, to) at the bounds of the lattice. Gives up (and says so by an empty answer) past max.
std::vector<bounds> cut(const calendar &cal, position from, position to, int max);

// Suffix of a new partition's name, from its lower bound: _2026, _2026_01, _2026_w05, _2026_01_31,
// _2026_01_31_1530, or _12000 (_n12000 below zero).
std::string partition_suffix(const calendar &cal, position lower);
// base + suffix in at most `max` bytes: a long base is cut between characters (UTF-8) and gets a
// hash of the whole, so that two long names stay two.
std::string bounded_name(const std::string &base, const std::string &suffix, size_t max = 63);

} // namespace dbopt::core
