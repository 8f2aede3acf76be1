// Texts and parameter samples of statements, in two files beside the server's statistics. Internal.
#pragma once
#include "capture/capture.hpp"
#include "capture/table.hpp"

namespace dbopt::capture {

extern int text_limit_kb; // of the text file
extern bool redact;       // keep no literal and no parameter

void store_text(slot *s, const pg::statement_end &e);
std::string load_text(const slot &s);
void store_sample(slot *s, const pg::statement_end &e);
std::vector<std::vector<parameter>> load_samples(const slot &s);

// Rewrites the text file without the texts of statements that are gone, once they are half of it.
void compact_texts();

// The whole table with its texts as one string, and back.
std::string serialized();
void restore(const std::string &saved);
void remove_files();

extern const char *const saved_file;

} // namespace dbopt::capture
