# A refresh does not wait for a locked base longer than it is told to; in the background a matview waits for
# those it reads, but not for ever.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dbopt'\ndbopt.naptime = 1\nmax_worker_processes = 20");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }

sub eventually
{
	my ($query, $expected) = @_;
	my $seen = '';
	for (1 .. 900) { $seen = sql($query); return $seen if $seen eq $expected; usleep(200_000); }
	return $seen;
}
sql(q{CREATE EXTENSION dbopt; SELECT dbopt.pause('matview');
CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT g, g % 7 FROM generate_series(1, 1000) g;
CREATE MATERIALIZED VIEW par AS SELECT v, count(*) AS n FROM t GROUP BY v;
CREATE MATERIALIZED VIEW kid AS SELECT count(*) AS groups FROM par;
SELECT dbopt.matview_manage('par', '1 second'); SELECT dbopt.matview_manage('kid', '1 hour')});

# ---- a locked base, looked at by a session that knows nothing of the matview yet ----
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
for my $mode ('auto', 'full')
{
	is(sql(qq{SET statement_timeout = '60s'; SET dbopt.matview_lock_wait = '1s'; SELECT status || ': ' || reason FROM dbopt.matview_refresh('par', '$mode')}),
		'skipped: "public.t" is locked by another session', "$mode gives up");
}
is(sql(q{SELECT count(*) FROM dbopt.matview_refreshes WHERE status = 'skipped'}), '2', 'and both are on record');
$holder->query_safe('COMMIT');
$holder->quit;
is(sql(q{SELECT status FROM dbopt.matview_refresh('par', 'full')}), 'done', 'afterwards it is refreshed');

# ---- a parent that is due in every round ----
sql(q{SELECT dbopt.resume('matview')});
is(eventually(q{SELECT coalesce((SELECT last_status FROM dbopt.matviews WHERE matview = 'kid'::regclass), '')}, 'done'), 'done', 'its child has its turn, too');

is(eventually(q{SELECT last_mode FROM dbopt.matviews WHERE matview = 'par'::regclass}, 'skip'), 'skip', 'nothing changes in the parent');
sql(q{UPDATE dbopt._matview_state SET last_refresh = now() - interval '2 hours', last_attempt = now() - interval '2 hours', last_status = 'done', last_mode = 'old' WHERE matview = 'kid'::regclass});
is(eventually(q{SELECT last_mode IN ('skip', 'full', 'incremental') FROM dbopt.matviews WHERE matview = 'kid'::regclass}, 't'), 't', 'a parent without changes is no failed one');

# ---- a parent that fails: its child is skipped, and that is on record ----
sql(q{CREATE FUNCTION fails(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN x; END$$;
CREATE MATERIALIZED VIEW bad AS SELECT fails(v) AS v FROM t; CREATE MATERIALIZED VIEW below AS SELECT count(*) AS n FROM bad;
SELECT dbopt.matview_manage('bad', '10 seconds', 'full'); SELECT dbopt.matview_manage('below', '10 seconds', 'full');
CREATE OR REPLACE FUNCTION fails(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE EXCEPTION 'no'; END$$});
is(eventually(q{SELECT EXISTS (SELECT FROM dbopt.matview_refreshes WHERE matview = 'below'::regclass AND status = 'skipped' AND reason LIKE '%public.bad%')}, 't'), 't', 'the child of a failed one says why it was skipped');
sql(q{CREATE OR REPLACE FUNCTION fails(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN x; END$$});
is(eventually(q{SELECT string_agg(last_status, ',') FROM dbopt.matviews WHERE matview IN ('bad'::regclass, 'below'::regclass)}, 'done,done'), 'done,done', 'and both recover');
$node->stop;
done_testing();
