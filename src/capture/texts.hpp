// Texts and parameter samples of statements, in two files beside the server's statistics. Internal.
#pragma once
#include "capture/capture.hpp"
#include "capture/table.hpp"

namespace dbopt::capture {

extern int text_limit_kb; // of the text file
extern bool redact;       // keep no literal and no parameter

// What is kept of a statement: its text and, unless unknown, the search_path it was run under.
struct record {
    std::string text, path;
};
// path: nullptr when it is not known.
void store_text(slot *s, const pg::statement_end &e, const char *path);
record load_record(const slot &s);
inline std::string load_text(const slot &s) { return load_record(s).text; }
void store_sample(slot *s, const pg::statement_end &e);
std::vector<std::vector<parameter>> load_samples(const slot &s);

// Rewrites the text file without the texts of statements that are gone, once room is short.
void compact_texts();
// The same; the caller holds lock 0 exclusively.
void compact_texts_if_short();

// The whole table with its texts as one string, and back.
std::string serialized();
void restore(const std::string &saved);
void remove_files();

extern const char *const saved_file;

} // namespace dbopt::capture
