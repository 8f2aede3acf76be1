#include "pg/wal_ahead.hpp"
#include "pg/compat.hpp"

extern "C" {
#include "access/xlog_internal.h"
#include <unistd.h>
}

namespace dbopt::pg {

void make_wal_ahead(int64_t bytes) {
    const int64_t segment = wal_segment_size;
    const int64_t wanted = std::min(bytes, int64_t{max_wal_size_mb} * 1024 * 1024 / 4) / segment;
    call([&] {
        if (RecoveryInProgress())
            return;
        XLogSegNo now;
        XLByteToSeg(GetXLogInsertRecPtr(), now, wal_segment_size);
        const TimeLineID line = GetWALInsertionTimeLine();
        for (int64_t i = 1; i <= wanted; ++i) {
            CHECK_FOR_INTERRUPTS();
            const int file = XLogFileInit(now + static_cast<XLogSegNo>(i), line); // opens one that is there
            if (file >= 0)
                (void)close(file);
        }
    });
}

} // namespace dbopt::pg
