# dbopt: build with the server's own PGXS.  make && make install && make installcheck
#   PG_CONFIG=/path/to/pg_config   chooses the server
#   WERROR=                        drops -Werror (packagers with newer compilers)
#   EXTRA_CXXFLAGS='-O1 -g0'       appended to the compiler's flags
PG_CONFIG ?= pg_config
WERROR ?= -Werror

EXTENSION   = dbopt
EXT_VERSION = 1.0
MODULE_big  = dbopt
# One list: every source below src/, one folder deep. CMakeLists.txt reads the same pattern.
SOURCES     = $(sort $(wildcard src/*.cpp src/*/*.cpp))
OBJS        = $(SOURCES:.cpp=.o)
# The rooms' SQL objects, in the order in which they may depend on each other.
ROOMS       = pg scheduler capture partition matview advisor bloat maintenance monitor pool cache \
              toolkit overview
# (a long one in several files: install.sql first, then install_*.sql by name).
ROOM_SQL    = src/install.sql $(foreach r,$(ROOMS),$(wildcard src/$(r)/install.sql) \
              $(sort $(wildcard src/$(r)/install_*.sql)))
DATA        = $(wildcard updates/dbopt--*--*.sql)
DATA_built  = dbopt--$(EXT_VERSION).sql
REGRESS     = $(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
REGRESS_OPTS = --load-extension=dbopt
EXTRA_CLEAN = $(OBJS:.o=.d)

SERVER_INCLUDE := $(shell $(PG_CONFIG) --includedir-server)
PG_CXXFLAGS = -std=c++20 -O2 -g -Isrc -isystem $(SERVER_INCLUDE) -Wall -Wextra -Wshadow $(WERROR) \
              -fvisibility=hidden -fvisibility-inlines-hidden -fno-semantic-interposition \
              -DPGDLLEXPORT='__attribute__((visibility("default")))' -MMD -MP
SHLIB_LINK  = -lstdc++ -lpq -Wl,--version-script=exports.map
PG_CPPFLAGS = -I$(shell $(PG_CONFIG) --includedir)
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
override CXXFLAGS += $(EXTRA_CXXFLAGS)
-include $(OBJS:.o=.d)

# A room's SQL lives beside its C++; the extension script is their concatenation.
dbopt--$(EXT_VERSION).sql: $(ROOM_SQL) Makefile
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION dbopt" to load this file. \quit'; \
	   for f in $(ROOM_SQL); do echo; echo "-- $$f"; cat $$f; done; } > $@
all: dbopt--$(EXT_VERSION).sql
