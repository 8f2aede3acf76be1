-- The peer: Extend (grow indexes column by column by benefit per byte) over HypoPG, in SQL.
-- Candidate columns are those whose names occur in a query on the table, as the field's tools do.
CREATE EXTENSION IF NOT EXISTS hypopg;
CREATE OR REPLACE FUNCTION star.peer_extend(budget bigint, width int, OUT ddls text[], OUT plans bigint, OUT seconds float8)
LANGUAGE plpgsql AS $$
DECLARE chosen text[] := '{}'; -- 'table(col,col)'
  base float8[]; now_cost float8[]; sqls text[]; c record; best text[]; best_ratio float8; best_bytes bigint; h oid; q int; gain float8; cost float8; size bigint;
  used bigint := 0; trial text[]; t text; started timestamptz := clock_timestamp(); new_cost float8[]; best_cost float8[]; e text;
BEGIN
  SELECT array_agg(sql ORDER BY n) INTO sqls FROM star.question; plans := 0;
  FOR q IN 1..cardinality(sqls) LOOP base[q] := star.cost_of(sqls[q]); END LOOP; now_cost := base;
  CREATE TEMP TABLE IF NOT EXISTS peer_attr AS
    SELECT DISTINCT cl.relname AS tab, a.attname AS col FROM pg_class cl JOIN pg_attribute a ON a.attrelid = cl.oid AND a.attnum > 0
    JOIN star.question k ON k.sql ~ ('star\.' || cl.relname || '\M') AND k.sql ~ ('\m' || a.attname || '\M')
    WHERE cl.relnamespace = 'star'::regnamespace AND cl.relkind = 'r' AND cl.relname <> 'question' AND cl.relpages > 4;
  LOOP
    best := NULL; best_ratio := 0;
    FOR c IN
      SELECT NULL::text AS old, tab || '(' || col || ')' AS def, tab FROM peer_attr a WHERE NOT EXISTS (SELECT FROM unnest(chosen) x WHERE x = tab || '(' || col || ')' OR x LIKE tab || '(' || col || ',%')
      UNION ALL
      SELECT x, left(x, -1) || ',' || col || ')', tab FROM unnest(chosen) x JOIN peer_attr a ON x LIKE tab || '(%'
      WHERE array_length(string_to_array(x, ','), 1) < width AND NOT string_to_array(trim(trailing ')' FROM split_part(x, '(', 2)), ',') @> ARRAY[col::text]
    LOOP
      PERFORM hypopg_reset();
      trial := array_append(array_remove(chosen, c.old), c.def); size := 0;
      FOREACH t IN ARRAY trial LOOP
        SELECT indexrelid INTO h FROM hypopg_create_index('CREATE INDEX ON star.' || t);
        size := size + hypopg_relation_size(h);
      END LOOP;
      CONTINUE WHEN size > budget;
      gain := 0; new_cost := now_cost;
      FOR q IN 1..cardinality(sqls) LOOP
        IF sqls[q] ~ ('star\.' || c.tab || '\M') THEN
          cost := star.cost_of(sqls[q]); plans := plans + 1; gain := gain + now_cost[q] - cost; new_cost[q] := cost;
        END IF;
      END LOOP;
      IF gain > 0.0002 * (SELECT sum(b) FROM unnest(base) b) AND gain / greatest(size - used, 1) > best_ratio THEN
        best := trial; best_ratio := gain / greatest(size - used, 1); best_bytes := size; best_cost := new_cost;
      END IF;
    END LOOP;
    EXIT WHEN best IS NULL;
    chosen := best; used := best_bytes; now_cost := best_cost;
  END LOOP;
  PERFORM hypopg_reset();
  ddls := ARRAY(SELECT 'CREATE INDEX ON star.' || x FROM unnest(chosen) x);
  seconds := extract(epoch FROM clock_timestamp() - started);
END $$;

-- Builds a set, returns what it really weighs and costs, and leaves nothing behind.
CREATE OR REPLACE FUNCTION star.built(ddls text[], OUT bytes bigint, OUT cost float8) LANGUAGE plpgsql AS $$
DECLARE d text; before bigint := (SELECT sum(pg_indexes_size(c.oid)) FROM pg_class c WHERE relnamespace = 'star'::regnamespace AND relkind = 'r');
BEGIN
  BEGIN
    FOREACH d IN ARRAY ddls LOOP EXECUTE d; END LOOP;
    SELECT sum(pg_indexes_size(c.oid)) - before INTO bytes FROM pg_class c WHERE relnamespace = 'star'::regnamespace AND relkind = 'r';
    SELECT sum(star.cost_of(sql)) INTO cost FROM star.question;
    RAISE EXCEPTION 'undo' USING ERRCODE = 'ZZ001';
  EXCEPTION WHEN SQLSTATE 'ZZ001' THEN NULL;
  END;
END $$;

-- For each budget: the peer, then dbopt with exactly the bytes that the peer's set really took.
SET jit = off;
CREATE TEMP TABLE outcome (share text, peer_plans bigint, peer_s numeric, dbopt_s numeric, peer_bytes bigint, dbopt_bytes bigint, none_cost numeric, peer_cost numeric, dbopt_cost numeric, dbopt_to_peer numeric);
DO $$ DECLARE total bigint := (SELECT sum(pg_table_size(c.oid)) FROM pg_class c WHERE relnamespace = 'star'::regnamespace AND relkind = 'r');
  share float8; p record; b record; mine text[]; m record; started timestamptz; took float8; none float8 := (SELECT sum(star.cost_of(sql)) FROM star.question);
BEGIN
  FOREACH share IN ARRAY ARRAY[0.02, 0.05, 0.1, 0.25, 0.5, 1.0] LOOP
    SELECT * INTO p FROM star.peer_extend((total * share)::bigint, 3);
    DROP TABLE IF EXISTS peer_attr;
    SELECT * INTO b FROM star.built(p.ddls);
    started := clock_timestamp();
    mine := ARRAY(SELECT ddl FROM dbopt.index_suggest((SELECT array_agg(sql ORDER BY n) FROM star.question), budget_bytes => b.bytes));
    took := extract(epoch FROM clock_timestamp() - started);
    SELECT * INTO m FROM star.built(mine);
    INSERT INTO outcome VALUES (share * 100 || ' %', p.plans, round(p.seconds::numeric, 2), round(took::numeric, 2), b.bytes, m.bytes, round(none), round(b.cost), round(m.cost), round((m.cost / b.cost)::numeric, 3));
  END LOOP; END $$;
SELECT * FROM outcome;
