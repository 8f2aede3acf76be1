// Snapshots of many objects with a few counters each, as few bytes as possible: keys ascending as
// differences, values as differences to the object's values in the snapshot before, all as variable
// length integers; what did not change is not written at all.
//
// Layout of one object: key difference; bit mask of the values that changed; their differences
// (zigzag). Gone objects: mask 0 after a key. The decoder checks every length: damaged bytes raise
// std::invalid_argument, never more.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace dbopt::core {

constexpr size_t history_width = 12;
using history_values = std::array<int64_t, history_width>;
using history_objects = std::map<uint64_t, history_values>;

// What must be known besides `before` to get `now`. encode(now, {}) is a key frame.
std::string encode_history(const history_objects &now, const history_objects &before);
// Turns `before` into the snapshot that was encoded.
void apply_history(std::string_view bytes, history_objects &before);

} // namespace dbopt::core
