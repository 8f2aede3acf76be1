#include "pg/pause.hpp"

namespace dbopt::pg {

void pause(int64_t milliseconds) {
    const TimestampTz end = GetCurrentTimestamp() + milliseconds * 1000;
    for (;;) {
        check_interrupts();
        const int64_t left = (end - GetCurrentTimestamp() + 999) / 1000;
        if (left <= 0)
            return;
        call([&] {
            (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left,
                            PG_WAIT_EXTENSION);
            ResetLatch(MyLatch);
        });
    }
}

} // namespace dbopt::pg
