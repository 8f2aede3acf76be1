# Databases and extensions that go while their jobs run, again and again: no slot stays taken, no run of before is
# taken for one of after, and commands that need a database empty get it empty.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('scheduler_endings', "dbopt.max_workers = 2\n");
$node->start;

sub sql { my ($q, $db) = @_; return $node->safe_psql($db // 'postgres', $q); }

sub comes
{
	my ($q, $name, $db) = @_;
	return ok($node->poll_query_until($db // 'postgres', $q), $name);
}
my $long = q{SELECT dbopt.job_add('long ' || i, '1 hour', 'SELECT pg_sleep(600)'), dbopt.job_run('long ' || i) FROM generate_series(1, 2) i};
my $none_busy = q{SELECT detail LIKE '0 of 2 in use%' FROM dbopt._scheduler_status() WHERE component = 'worker slots'};
sql('CREATE EXTENSION dbopt; CREATE TABLE done_here (n serial)');

# ---- databases dropped with all slots in use ----
for my $how ('', ' WITH (FORCE)', '')
{
	sql('CREATE DATABASE short_lived');
	sql("CREATE EXTENSION dbopt", 'short_lived');
	sql($long, 'short_lived');
	comes(q{SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = 'short_lived' AND query = 'SELECT pg_sleep(600)'}, 'both slots are taken');
	sql("DROP DATABASE short_lived$how");
	comes($none_busy, "DROP DATABASE$how gives them back");
}

# ---- the extension dropped with all slots in use, and made again ----
for my $again (1 .. 2)
{
	sql($long);
	comes(q{SELECT count(*) = 2 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'}, 'both slots are taken');
	sql('DROP EXTENSION dbopt');
	sql('CREATE EXTENSION dbopt') if $again == 2;
	comes(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'}, 'DROP EXTENSION: its jobs end');
	sql('CREATE EXTENSION dbopt') if $again == 1;
	# Numbers of runs begin at 1 again.
	sql(q{SELECT dbopt.job_add('next', '@yearly', 'INSERT INTO done_here DEFAULT VALUES'), dbopt.job_run('next')});
	comes(q{SELECT count(*) = 1 AND bool_and(status = 'done' AND tag = 'INSERT') FROM dbopt.job_runs}, 'the new one\'s first run is its own');
	comes($none_busy, 'and no slot stays taken');
}
is(sql('SELECT count(*) FROM done_here'), '2', 'each ran once');

# ---- CREATE DATABASE TEMPLATE, again and again beside a job of every second ----
sql('CREATE DATABASE origin');
sql(q{CREATE EXTENSION dbopt; SELECT dbopt.job_add('tick', '1 second', 'SELECT 1')}, 'origin');
comes(q{SELECT successes > 0 FROM dbopt.jobs}, 'a short job runs', 'origin');
my $failed = '';
for my $i (1 .. 8)
{
	my $strategy = $i % 2 ? 'wal_log' : 'file_copy';
	my ($rc, $out, $err) = $node->psql('postgres', "CREATE DATABASE copy_$i TEMPLATE origin STRATEGY $strategy");
	$failed .= $err;
}
is($failed, '', 'eight copies, none of them finds our workers in its way');
is(join(' ', map { sql(q{SELECT DISTINCT state FROM dbopt.jobs}, "copy_$_") } 1, 8), 'paused (copied database) paused (copied database)', 'all are paused');
my $seen = sql('SELECT successes FROM dbopt.jobs', 'origin');
comes("SELECT successes > $seen FROM dbopt.jobs", 'the original goes on', 'origin');

# ---- encodings ----
for my $encoding (qw(LATIN1 SQL_ASCII EUC_KR EUC_JP))
{
	my $db = lc("in_$encoding");
	sql("CREATE DATABASE $db TEMPLATE template0 ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C'");
	sql('CREATE EXTENSION dbopt', $db);
	is(sql(q{SELECT count(*) > 50 FROM dbopt.health(); SELECT length(dbopt.report()) > 1000; SELECT count(*) > 0 FROM dbopt.setup()}, $db), "t\nt\nt", "a database in $encoding");
}
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
