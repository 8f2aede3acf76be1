# A conversion waits for its swap, and the table goes on living: what is revoked, granted or altered
# meanwhile is not undone by the swap, there and back.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('altered', "restart_after_crash = on\nfsync = off\n");
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dbopt;
    CREATE ROLE reader; CREATE ROLE granted; CREATE ROLE by_column; CREATE ROLE passed_on;
    CREATE TABLE ev (id bigint PRIMARY KEY, ts timestamptz NOT NULL, v text);
    INSERT INTO ev SELECT i, now() - i * interval '1 day', 'x' FROM generate_series(1, 200) i;
    GRANT SELECT ON ev TO reader WITH GRANT OPTION; GRANT SELECT (id) ON ev TO by_column;
    SET ROLE reader; GRANT SELECT ON ev TO passed_on;});

sub background {
    my ($sql) = @_;
    my ($out, $err) = ('', '');
    my $h = IPC::Run::start(['psql', '-XqAt', '-p', $node->port, '-h', $node->host, 'postgres', '-c', 'SET client_min_messages = error', '-c', $sql],
        '<', \undef, '>', \$out, '2>', \$err);
    return { handle => $h, err => \$err };
}

# Runs a call up to its swap, which an older snapshot holds up; then `meanwhile`; then lets it go on.
sub altered_before_swap {
    my ($call, $kind, $meanwhile) = @_;
    my $old = background(q{SET application_name = 'old'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class; SELECT pg_sleep(3600)});
    $node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'old' AND query LIKE '%pg_sleep%' AND wait_event = 'PgSleep')}) or die 'no old snapshot';
    my $run = background($call);
    $node->poll_query_until('postgres', qq{SELECT EXISTS (SELECT FROM dbopt.partition_work WHERE kind = '$kind' AND phase = 'swap' AND detail LIKE 'waiting for%')}) or die 'it does not wait';
    $node->safe_psql('postgres', $meanwhile);
    $node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'old'});
    eval { $old->{handle}->finish };
    eval { $run->{handle}->finish };
    return ${ $run->{err} };
}

my $rights = q{SELECT has_table_privilege('reader', oid, 'SELECT'), has_table_privilege('passed_on', oid, 'SELECT'), has_column_privilege('by_column', oid, 'id', 'SELECT'),
    has_table_privilege('granted', oid, 'INSERT'), relrowsecurity FROM pg_class};
my $convert = q{CALL dbopt.partition_convert('ev', 'ts', '1 month', accept_lost_constraints => true)};
is(altered_before_swap($convert, 'convert', q{REVOKE SELECT ON ev FROM reader CASCADE; REVOKE SELECT (id) ON ev FROM by_column; GRANT INSERT ON ev TO granted;
    ALTER TABLE ev ENABLE ROW LEVEL SECURITY}), '', 'rights change before the swap');
is($node->safe_psql('postgres', q{SELECT relkind FROM pg_class WHERE oid = 'ev'::regclass}), 'p', 'it is converted');
is($node->safe_psql('postgres', "$rights WHERE oid = 'ev'::regclass"), 'f|f|f|t|t', 'the new table has the rights of that moment');
is($node->safe_psql('postgres', "SELECT DISTINCT x.* FROM ($rights WHERE oid IN (SELECT relid FROM pg_partition_tree('ev'))) x"), 'f|f|f|t|t', 'so have its partitions');

# the old table kept its rights of then, the one by column and the ones that were passed on too
$node->safe_psql('postgres', q{GRANT SELECT ON ev_old TO reader WITH GRANT OPTION; SET ROLE reader; GRANT SELECT ON ev_old TO passed_on; RESET ROLE;
    GRANT SELECT (id) ON ev_old TO by_column; ALTER TABLE ev_old DISABLE ROW LEVEL SECURITY});
is(altered_before_swap(q{CALL dbopt.partition_convert_abort('ev')}, 'revert', 'REVOKE INSERT ON ev FROM granted'), '', 'and back');
is($node->safe_psql('postgres', "$rights WHERE oid = 'ev'::regclass AND relkind = 'r'"), 'f|f|f|f|t', 'what was revoked stays revoked');

$node->safe_psql('postgres', 'DROP TABLE ev_partitioned');
like(altered_before_swap($convert, 'convert', q{ALTER TABLE ev ADD COLUMN w text DEFAULT 'new'}), qr/was altered while it was converted.*\bw: /s, 'a column that came is not lost');
is($node->safe_psql('postgres', q{SELECT relkind, (SELECT count(*) FROM ev WHERE w = 'new') FROM pg_class WHERE oid = 'ev'::regclass}), 'r|200', 'it is there');
$node->safe_psql('postgres', 'ALTER TABLE ev DROP COLUMN w');
$node->safe_psql('postgres', "SET client_min_messages = error; $convert");
like(altered_before_swap(q{CALL dbopt.partition_convert_abort('ev')}, 'revert', q{ALTER TABLE ev ADD COLUMN w text DEFAULT 'new'}), qr/was altered/, 'neither on the way back');
is($node->safe_psql('postgres', q{SELECT relkind, (SELECT count(*) FROM ev WHERE w = 'new') FROM pg_class WHERE oid = 'ev'::regclass}), 'p|200', 'it is there');
$node->safe_psql('postgres', 'CREATE TABLE two (id bigint, ts timestamptz, PRIMARY KEY (id, ts)); INSERT INTO two VALUES (1, now())');
like(altered_before_swap(q{CALL dbopt.partition_convert('two', 'ts', '1 month')}, 'convert', 'CREATE TABLE child (id bigint, ts timestamptz, FOREIGN KEY (id, ts) REFERENCES two)'),
    qr/refers to the table/, 'a foreign key that nobody agreed to lose stays');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_constraint WHERE confrelid = 'two'::regclass}), '1', 'it is there');
# after a dump and its restore the stored OIDs are those of other relations
$node->safe_psql('postgres', q{SET client_min_messages = error;
    CREATE TABLE src (id bigint PRIMARY KEY, ts timestamptz NOT NULL); INSERT INTO src VALUES (1, now());
    CREATE TABLE kid (src_id bigint REFERENCES src); CREATE TABLE other (src_id bigint CONSTRAINT other_u UNIQUE);
    CALL dbopt.partition_convert('src', 'ts', '1 month', accept_lost_constraints => true);
    UPDATE dbopt.partition_work SET lost_keys = ARRAY['other'::regclass::oid || substr(lost_keys[1], position(' ' in lost_keys[1]))],
        index_names = ARRAY['other_u'::regclass::oid || ' mine'] WHERE source = 'src_old'::regclass;
    CALL dbopt.partition_convert_abort('src');});
is($node->safe_psql('postgres', q{SELECT relkind, (SELECT string_agg(conname, ' ') FROM pg_constraint WHERE conrelid = 'other'::regclass AND contype <> 'n') FROM pg_class WHERE oid = 'src'::regclass}),
    'r|other_u', 'the way back leaves relations alone that only have the numbers of old ones');
# the key column goes by another name when the copy goes on
$node->safe_psql('postgres', 'CREATE TABLE named (id bigint, ts timestamptz, PRIMARY KEY (id, ts)); INSERT INTO named VALUES (1, now())');
my ($out, $err);
dies_at($node, 'convert:piece', "CALL dbopt.partition_convert('named', 'ts', '1 month')") or die 'it does not die';
$node->safe_psql('postgres', 'ALTER TABLE named RENAME ts TO other');
$node->psql('postgres', "CALL dbopt.partition_convert('named', 'ts', '1 month')", stdout => \$out, stderr => \$err);
like($err, qr/has lost its partition key column/, 'a key column that was renamed is missed');
$node->safe_psql('postgres', 'ALTER TABLE named RENAME other TO ts');
$node->safe_psql('postgres', "SET client_min_messages = error; CALL dbopt.partition_convert('named', 'ts', '1 month')");
is($node->safe_psql('postgres', q{SELECT relkind, (SELECT count(*) FROM named) FROM pg_class WHERE oid = 'named'::regclass}), 'p|1', 'with its name back it goes on');
ok(no_crash($node), 'no process crashed by itself');
$node->stop;
done_testing();
