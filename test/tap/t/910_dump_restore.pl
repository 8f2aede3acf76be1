# A database with the extension is dumped, restored, renamed by copying, upgraded in place, restarted.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('old', '');
$node->start;
my $version = $node->safe_psql('postgres', "SELECT default_version FROM pg_available_extensions WHERE name = 'dbopt'");
$node->safe_psql('postgres', 'CREATE DATABASE app');
$node->safe_psql('app', q{
	CREATE EXTENSION dbopt;
	CREATE TABLE events (id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at);
	CREATE TABLE users (id int PRIMARY KEY, name text);
	INSERT INTO users SELECT i, 'user ' || i FROM generate_series(1, 1000) i;
	CREATE MATERIALIZED VIEW user_count AS SELECT count(*) AS n FROM users;
	-- created by the script after all data, for their key; the second after the first
	CREATE MATERIALIZED VIEW "Per user" AS SELECT u.id, u.name, count(*) AS n FROM users u JOIN users v ON v.id <= u.id GROUP BY u.id;
	CREATE MATERIALIZED VIEW above AS SELECT max(n) FROM "Per user";
});
my $has = sub { my $f = shift; $node->safe_psql('app', "SELECT count(*) FROM pg_proc WHERE pronamespace = 'dbopt'::regnamespace AND proname = '$f'") > 0 };
$node->safe_psql('app', q{SELECT dbopt.partition_manage('events', '1 month', retention => '1 year')}) if $has->('partition_manage');
$node->safe_psql('app', q{SELECT dbopt.matview_manage('user_count', every => '2 hours')}) if $has->('matview_manage');
$node->safe_psql('app', q{SELECT dbopt.job_add('tidy', '0 3 * * *', 'SELECT 1')}) if $has->('job_add');

$node->safe_psql('app', q{SELECT dbopt.matview_manage('"Per user"', every => '3 hours'), dbopt.matview_manage('above')});
is($node->safe_psql('app', q{SELECT string_agg(name, ' ' ORDER BY name) FROM dbopt._matview_late}), 'public."Per user" public.above',
	'matviews that come late are kept by name');

# pg_dump | psql into another cluster
my $dump = $node->basedir . '/app.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('app') ], 'pg_dump');
my $new = dbopt_cluster('new', '');
$new->start;
$new->safe_psql('postgres', 'CREATE DATABASE app');
$new->command_ok([ 'pg_restore', '--exit-on-error', '-d', $new->connstr('app'), $dump ], 'pg_restore into a fresh cluster');
is($new->safe_psql('app', 'SELECT count(*), max(extversion) FROM users, pg_extension WHERE extname = $$dbopt$$'), "1000|$version", 'data and extension are there');
is($new->safe_psql('app', 'SELECT n FROM user_count'), '1000', 'matviews are restored with their rows');
is($new->safe_psql('app', q{SELECT count(*) FROM dbopt.partition_sets WHERE parent = 'events'::regclass}), '1', 'the partition set is still managed') if $has->('partition_manage');
is($new->safe_psql('app', q{SELECT count(*) FROM dbopt.matviews WHERE matview = 'user_count'::regclass AND managed}), '1', 'the matview is still managed') if $has->('matview_manage');
$new->safe_psql('app', 'SELECT dbopt.confirm_database()');
ok($new->poll_query_until('app', q{SELECT (SELECT every FROM dbopt.matview_config WHERE matview = '"Per user"'::regclass) = '3 hours'
	AND count(*) = 3 FROM dbopt.matview_config}),
	'those that came late are managed again');
is($new->safe_psql('app', q{SELECT count(*) FROM dbopt.jobs WHERE name = 'tidy'}), '1', 'the job is there') if $has->('job_add');

# A second start, with everything in place
$new->restart;
is($new->safe_psql('app', 'SELECT dbopt.version()'), $version, 'a second start');
ok($new->safe_psql('app', 'SELECT count(*) FROM dbopt.status()') > 0, 'status() answers') if $has->('status');

# Schema-only dumps of both sides are the same: nothing is lost or doubled by a round trip.
my ($before, $after) = map {
	my ($out) = run_command([ 'pg_dump', '-s', $_->connstr('app') ]);
	$out =~ s/^\\(un)?restrict .*\n//mg;
	$out =~ s/_capture\(.\d+.\)/_capture(log)/g; # the number of the log, made anew by the first refresh
	$out
} $node, $new;
is($after, $before, 'the schema survives a round trip');

# Update in place and remove
$new->safe_psql('app', 'ALTER EXTENSION dbopt UPDATE');
$new->safe_psql('app', 'DROP EXTENSION dbopt CASCADE');
is($new->safe_psql('app', q{SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = n.oid)
	+ (SELECT count(*) FROM pg_proc WHERE pronamespace = n.oid) + (SELECT count(*) FROM pg_type WHERE typnamespace = n.oid)
	FROM pg_namespace n WHERE nspname = 'dbopt'}), '0', 'nothing but the empty schema stays behind after DROP EXTENSION');
$new->safe_psql('app', 'CREATE EXTENSION dbopt');
is($new->safe_psql('app', 'SELECT dbopt.version()'), $version, 'and it can be installed again');

# Without preload: no FATAL on first load, and status() names the line to add.
$new->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$new->restart;
is($new->safe_psql('app', 'SELECT dbopt.version()'), $version, 'works without preload');
like($new->safe_psql('app', 'SELECT string_agg(s::text, $$ $$) FROM dbopt.status() s'), qr/shared_preload_libraries/, 'status() says what is missing') if $has->('status');
ok(no_crash($_), 'no crash') for $node, $new;
$node->stop;
$new->stop;
done_testing();
