# After a failover, and after a cancelled CALL, the next maintenance_run repairs what it left: TOAST too.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $settings = "dbopt.old_transaction = '1h'";
my $primary = dbopt_cluster('maintenance_primary', $settings, allows_streaming => 1);
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION dbopt;
	CREATE TABLE t (id int, v text);
	ALTER TABLE t ALTER v SET STORAGE EXTERNAL;
	INSERT INTO t SELECT g, repeat(md5(g::text), 100) FROM generate_series(1, 3000) g;
	CREATE INDEX t_id ON t (id);
	CREATE INDEX theirs_ccnew ON t (id);
	UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'theirs_ccnew'::regclass;
});
my $worker = q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type LIKE 'dbopt database worker%'};
$primary->poll_query_until('postgres', $worker) or die 'no database worker';
my $toast_index = $primary->safe_psql('postgres', q{SELECT i.indexrelid::regclass FROM pg_index i
	JOIN pg_class c ON c.reltoastrelid = i.indrelid WHERE c.oid = 't'::regclass});
my $invalid = q{SELECT count(*) FROM pg_index WHERE NOT indisvalid AND indexrelid <> 'theirs_ccnew'::regclass};

sub background { my ($node, $sql) = @_; my ($in, $out, $err) = ('', '', '');
	return IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', $sql ], '<', \$in, '>', \$out, '2>', \$err); }
# A writer that REINDEX CONCURRENTLY waits for.
sub writer { my ($node, $sql) = @_; my $h = background($node, "BEGIN; $sql; SELECT pg_sleep(100); COMMIT");
	$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 't'::regclass AND mode = 'RowExclusiveLock')});
	return $h; }
sub end_writer { my ($node, $h) = @_;
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; %pg_sleep(100)%' AND pid <> pg_backend_pid()});
	eval { $h->finish }; return; }

# ---- a REINDEX of a TOAST index, and its leftover ----
$primary->safe_psql('postgres', qq{CALL dbopt.maintenance_run('{reindex}', '{$toast_index}')});
is($primary->safe_psql('postgres', q{SELECT status || coalesce(': ' || detail, '') FROM dbopt.maintenance_runs ORDER BY id DESC LIMIT 1}), 'done', "a TOAST index is rebuilt");
my $h = writer($primary, q{INSERT INTO t SELECT 0, repeat(md5(random()::text), 100)});
my $call = background($primary, qq{CALL dbopt.maintenance_run('{reindex}', '{$toast_index}')});
$primary->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_class WHERE relname ~ '^pg_toast.*_ccnew$')}) or diag 'no _ccnew';
$primary->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'REINDEX INDEX%' AND backend_type LIKE 'dbopt%'});
eval { $call->finish };
end_writer($primary, $h);
$primary->safe_psql('postgres', q{CALL dbopt.maintenance_run('{cleanup}')});
ok($primary->poll_query_until('postgres', "SELECT ($invalid) = 0"), 'the leftover of a TOAST index is removed');

# ---- the CALL is cancelled: its REINDEX ends, too ----
$h = writer($primary, q{INSERT INTO t VALUES (0, 'w')});
$call = background($primary, q{CALL dbopt.maintenance_run('{reindex}', '{t_id}')});
$primary->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_class WHERE relname ~ '^t_id_ccnew')}) or diag 'no _ccnew';
$primary->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL dbopt.maintenance_run%' AND pid <> pg_backend_pid()});
eval { $call->finish };
ok($primary->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'REINDEX INDEX%' AND backend_type LIKE 'dbopt%' AND state = 'active')}), 'its worker stops');
end_writer($primary, $h);
$primary->safe_psql('postgres', q{CALL dbopt.maintenance_run('{cleanup}')});
ok($primary->poll_query_until('postgres', "SELECT ($invalid) = 0"), 'nothing is left');
is($primary->safe_psql('postgres', q{SELECT count(*) FROM dbopt.maintenance_runs WHERE status IN ('queued', 'running')}), 0, 'no run stays open');
is($primary->safe_psql('postgres', q{SELECT status FROM dbopt.maintenance_runs ORDER BY id DESC LIMIT 1}), 'cancelled', 'it is written down as cancelled');

# ---- failover in the middle of a REINDEX ----
$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('maintenance_standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;
like($standby->safe_psql('postgres', q{SELECT status FROM dbopt.table_bloat('t')}), qr/done/, 'bloat is measured on a standby');
$primary->safe_psql('postgres', q{CREATE UNLOGGED TABLE u AS SELECT 1 AS id});
$h = writer($primary, q{INSERT INTO t VALUES (0, 'w')});
$call = background($primary, q{CALL dbopt.maintenance_run('{reindex}', '{t_id}')});
$primary->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_class WHERE relname ~ '^t_id_ccnew')}) or diag 'no _ccnew';
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT status || ': ' || detail FROM dbopt.table_bloat('u')}), 'skipped: unlogged tables have no contents during recovery', 'an unlogged table on a standby says why not');
is($standby->safe_psql('postgres', $invalid), 1, 'the standby has the unfinished index');
$primary->stop('immediate');
eval { $_->finish } for $h, $call;
$standby->promote;
$standby->poll_query_until('postgres', $worker) or die 'no database worker after promotion';
$standby->safe_psql('postgres', q{CALL dbopt.maintenance_run('{cleanup}')});
ok($standby->poll_query_until('postgres', "SELECT ($invalid) = 0"), 'the next run removes it');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 'theirs_ccnew'}), 1, 'and what is not ours stays');
$standby->safe_psql('postgres', q{CALL dbopt.maintenance_run('{reindex}', '{t_id}')});
is($standby->safe_psql('postgres', q{SELECT status FROM dbopt.maintenance_runs ORDER BY id DESC LIMIT 1}), 'done', 'and maintenance goes on there');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM dbopt.maintenance_runs WHERE status IN ('queued', 'running')}), 0, 'no run stays open');
ok(no_crash($_), 'no crash') for $primary, $standby;
$standby->stop;
done_testing();
