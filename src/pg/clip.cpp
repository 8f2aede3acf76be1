#include "pg/clip.hpp"
#include "pg/server.hpp"

extern "C" {
#include "mb/pg_wchar.h"
}

namespace dbopt::pg {

void copy_clipped(char *to, std::size_t size, const char *text) noexcept {
    if (text == nullptr)
        text = "";
    const std::size_t length = strlen(text);
    if (length < size) {
        memcpy(to, text, length + 1);
        return;
    }
    const int kept = pg_mbcliplen(text, static_cast<int>(length), static_cast<int>(size - 4));
    memcpy(to, text, kept);
    memcpy(to + kept, "...", 4);
}

} // namespace dbopt::pg
