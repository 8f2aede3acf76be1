# Every function of the extension with every kind of odd argument, as a superuser and as a nobody.
# Errors are welcome, crashes are not, and the server goes on.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('fuzz', "statement_timeout = '20s'\nmax_connections = 20");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION dbopt;
	CREATE ROLE nobody LOGIN;
	CREATE TABLE plain (id int PRIMARY KEY, at timestamptz, note text);
	INSERT INTO plain SELECT i, now(), 'x' FROM generate_series(1, 100) i;
	CREATE TABLE parent (id int, at timestamptz NOT NULL) PARTITION BY RANGE (at);
	CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM plain;
	CREATE VIEW targets AS
	SELECT p.oid, p.proname, p.prokind, p.proargtypes, p.pronargs, p.proretset
	FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
	WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dbopt')
	  AND p.prokind IN ('f', 'p') AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype,
		'internal'::regtype);
	GRANT SELECT ON targets TO nobody;

	-- Some values of a type, as SQL; garbage where the type has any.
	CREATE FUNCTION samples(t oid) RETURNS text[] LANGUAGE sql STABLE AS $$
		SELECT CASE
			WHEN t IN ('int2'::regtype) THEN '{NULL,-1,0,32767,-32768}'::text[]
			WHEN t IN ('int4'::regtype) THEN '{NULL,-1,0,1,2147483647,-2147483648}'
			WHEN t IN ('int8'::regtype) THEN '{NULL,-1,0,1,9223372036854775807,-9223372036854775808}'
			WHEN t IN ('float8'::regtype, 'float4'::regtype, 'numeric'::regtype) THEN '{NULL,-1,0,0.5,NaN,1e30,Infinity}'
			WHEN t = 'bool'::regtype THEN '{NULL,true,false}'
			WHEN t = 'regclass'::regtype THEN '{NULL,0,1,pg_class,public.plain,public.parent,public.mv,public.plain_pkey,pg_toast.pg_toast_1255,4294967295}'
			WHEN t IN ('oid'::regtype, 'regrole'::regtype, 'regtype'::regtype) THEN '{NULL,0,1259,4294967295}'
			WHEN t IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype) THEN '{NULL,infinity,-infinity,2026-01-01,4000-01-01 BC}'
			WHEN t = 'time'::regtype THEN '{NULL,00:00,24:00}'
			WHEN t = 'interval'::regtype THEN '{NULL,0,-1 day,1 ms,178000000 years}'
			WHEN t = 'uuid'::regtype THEN '{NULL,00000000-0000-0000-0000-000000000000,ffffffff-ffff-7fff-bfff-ffffffffffff}'
			WHEN t IN ('json'::regtype, 'jsonb'::regtype) THEN ARRAY[NULL, '{}', '[]', 'null', '{"a":{"b":[1,2]}}']
			WHEN (SELECT typelem <> 0 AND typlen = -1 FROM pg_type WHERE pg_type.oid = t) THEN ARRAY[NULL, '{}', '{NULL}', '{1}', '{pg_class,NULL}']
			WHEN t IN ('text'::regtype, 'name'::regtype, 'varchar'::regtype) THEN
				ARRAY[NULL, '', 'public', 'sample', '1 month', 'SELECT * FROM plain WHERE id = 1',
					E'\'; DROP TABLE plain; --', E'\xc3\xa4\xe4\xb8\xad', repeat('x', 3000), '%s%n%1$s', '((((((((((']
			ELSE ARRAY[NULL, '', '0', 'x'] END $$;

	-- Calls each function with samples: one argument is varied at a time, the others stay at the first
	-- sensible sample or at NULL. Returns the number of calls and of errors.
	CREATE PROCEDURE fuzz(INOUT calls int DEFAULT 0, INOUT errors int DEFAULT 0) LANGUAGE plpgsql AS $$
	DECLARE
		f record; base int; i int; s text; args text; one text; list text[];
	BEGIN
		FOR f IN SELECT * FROM targets WHERE prokind = 'f' AND proname !~ '^_?(wait|job_worker)' ORDER BY proname, oid LOOP
			FOR base IN 1 .. 4 LOOP
				FOR i IN 0 .. f.pronargs - 1 LOOP
					FOREACH s IN ARRAY samples(f.proargtypes[i]) LOOP
						args := '';
						FOR j IN 0 .. f.pronargs - 1 LOOP
							list := samples(f.proargtypes[j]);
							one := CASE WHEN i = j THEN s ELSE list[least(base, array_length(list, 1))] END;
							args := args || CASE WHEN j > 0 THEN ', ' ELSE '' END ||
								format('%L::%s', one, format_type(f.proargtypes[j], NULL));
						END LOOP;
						BEGIN
							calls := calls + 1;
							EXECUTE format('SELECT count(*) FROM (SELECT * FROM dbopt.%I(%s) LIMIT 50) x', f.proname, args);
							-- Undo what it did.
							RAISE EXCEPTION USING ERRCODE = 'ZZ000';
						EXCEPTION WHEN SQLSTATE 'ZZ000' THEN NULL;
							WHEN query_canceled THEN errors := errors + 1;
								RAISE LOG 'fuzz: slow call %(%)', f.proname, left(args, 200);
							WHEN OTHERS THEN
								errors := errors + 1;
								IF SQLSTATE = 'XX000' THEN
									RAISE LOG 'fuzz: internal error in %(%): %', f.proname, left(args, 200), SQLERRM;
								END IF;
						END;
					END LOOP;
				END LOOP;
				EXIT WHEN f.pronargs < 2;
			END LOOP;
		END LOOP;
	END $$;
	GRANT EXECUTE ON PROCEDURE fuzz TO nobody;
});

for my $role ('postgres_superuser', 'nobody')
{
	my $as = $role eq 'nobody' ? 'nobody' : undef;
	my ($rc, $out, $err) = $node->psql('postgres',
		"SET statement_timeout = '10min'; SET client_min_messages = error; SET lock_timeout = '1s'; BEGIN; CALL fuzz(); ROLLBACK;",
		extra_params => [ '-At', defined $as ? ('-U', $as) : () ], timeout => 900);
	my ($calls, $errors) = $out =~ /(\d+)\|(\d+)/;
	is($rc, 0, "$role: the session survives") or diag($err);
	cmp_ok($calls // 0, '>', 50, "$role: " . ($calls // 0) . ' calls, ' . ($errors // 0) . ' errors');
}

# Procedures commit, so each runs alone.
my @procedures = split /\n/, $node->safe_psql('postgres', q{
	SELECT format('CALL dbopt.%I(%s)', proname, (SELECT string_agg(format('%L::%s', (samples(t))[k], format_type(t, NULL)), ', ' ORDER BY n)
		FROM unnest(proargtypes::oid[]) WITH ORDINALITY a(t, n)))
	FROM targets, generate_series(1, 6) k WHERE prokind = 'p' AND proname !~ '^_?wait'});
for my $call (@procedures)
{
	$node->psql('postgres', "SET statement_timeout = '3s'; $call", extra_params => [ '-U', $_ ]) for $node->safe_psql('postgres', 'SELECT current_user'), 'nobody';
}
ok(no_crash($node), 'no backend crashed');
my $log = slurp_file($node->logfile);
my @internal = $log =~ /LOG:  fuzz: internal error in ([^\n]*)/g;
is(scalar @internal, 0, 'bad input never ends in an internal error') or diag(join "\n", @internal[0 .. ($#internal < 20 ? $#internal : 20)]);
my @slow = $log =~ /LOG:  fuzz: slow call ([^\n]*)/g;
diag("slow: $_") for @slow;
is($node->safe_psql('postgres', 'SELECT count(*) FROM plain'), '100', 'nothing was destroyed');
$node->stop;
done_testing();
