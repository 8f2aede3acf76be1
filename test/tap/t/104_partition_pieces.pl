# A large table is copied by several processes: a worker helps, dies, is not missed; a copy that was
# tampered with is not swapped in.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('pieces', "restart_after_crash = on\nfsync = off\nmax_wal_size = 4GB\n");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION dbopt;});

sub rows_of_truth {
    my ($table) = @_;
    return $node->safe_psql('postgres', qq{SELECT (SELECT count(*) FROM (SELECT * FROM $table EXCEPT ALL SELECT * FROM truth) a),
        (SELECT count(*) FROM (SELECT * FROM truth EXCEPT ALL SELECT * FROM $table) b)});
}

# 60 MB: above the size from which helpers are called
$node->safe_psql('postgres', q{
    CREATE TABLE big (id bigint PRIMARY KEY, ts timestamptz NOT NULL, v text);
    INSERT INTO big SELECT i, '2026-01-01'::timestamptz + i * interval '1 minute', repeat('x', 200) || i FROM generate_series(1, 250000) i;
    CREATE INDEX ON big (ts);
    CREATE TABLE truth AS TABLE big;});
my $call = q{SET client_min_messages = error; CALL dbopt.partition_convert('big', 'ts', '1 month', accept_lost_constraints => true);};

# kill -9 in the middle of a piece, in copy and in build
for my $n (1 .. 2) {
    ok(dies_at($node, 'convert:piece', "SET dbopt.partition_copy_helpers = 0; $call"), "dies in a piece, time $n");
    is(rows_of_truth('big'), '0|0', 'the table is as it was');
    is($node->safe_psql('postgres', q{SELECT count(*) FROM dbopt.partition_piece WHERE done}), '0', 'the piece counts as not done');
}
$node->safe_psql('postgres', q{UPDATE big SET v = 'changed' WHERE id % 1000 = 0; DELETE FROM big WHERE id % 1000 = 1; INSERT INTO big SELECT 300000 + i, '2026-02-01', 'new' FROM generate_series(1, 500) i;
    UPDATE big SET ts = ts + interval '40 days' WHERE id % 1000 = 2;
    TRUNCATE truth; INSERT INTO truth SELECT * FROM big;});
ok(dies_at($node, 'convert:catchup', $call), 'dies after all pieces');

# someone writes into the copy: the proof notices
my $copy = $node->safe_psql('postgres', q{SELECT staging FROM dbopt.partition_work});
$node->safe_psql('postgres', qq{UPDATE $copy SET v = v || ' ' WHERE id = 77777});
my ($out, $err);
isnt($node->psql('postgres', $call, stdout => \$out, stderr => \$err), 0, 'a copy that differs in one byte of one row is refused');
like($err, qr/the copy differs from public\.big/, 'with what it found');
is($node->safe_psql('postgres', q{SELECT relkind FROM pg_class WHERE oid = 'big'::regclass}), 'r', 'the table stays');
is(rows_of_truth('big'), '0|0', 'unharmed');
$node->safe_psql('postgres', q{CALL dbopt.partition_convert_abort('big')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE '\_dbopt\_%'}), '0', 'abort takes everything away');
is($node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM dbopt.partition_work) + (SELECT count(*) FROM dbopt.partition_piece)}), '0', 'and forgets it');

# with a helper, which is killed when it has begun
my $convert = $node->background_psql('postgres', on_error_stop => 0);
$convert->{stdin} .= "$call\n\\echo converted\n";
$convert->{run}->pump_nb;
my $helped = $node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM dbopt.run WHERE command LIKE 'CALL dbopt._partition_assist%' AND status IN ('running', 'done'))
    OR (SELECT relkind = 'p' FROM pg_class WHERE oid = 'big'::regclass)});
ok($helped, 'a helper is called');
my $helper = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL dbopt._partition_assist%' AND backend_type <> 'client backend' LIMIT 1});
kill_backend($node, $helper) if $helper;
eval { $convert->quit };
$node->safe_psql('postgres', $call) if $node->safe_psql('postgres', q{SELECT relkind FROM pg_class WHERE oid = 'big'::regclass}) eq 'r';
is($node->safe_psql('postgres', q{SELECT relkind FROM pg_class WHERE oid = 'big'::regclass}), 'p', 'called again it ends well');
is(rows_of_truth('big'), '0|0', 'with every row once');
ok(no_crash($node), 'no process crashed by itself');
$node->stop;
done_testing();
