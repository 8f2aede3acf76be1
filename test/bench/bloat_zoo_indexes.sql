-- Indexes with every kind of bloat, on tables of their own.
SET search_path = zoo, public;
SET synchronous_commit = off;
SELECT setseed(0.42);
CREATE TABLE x_base AS SELECT g AS id, (random() * 1e9)::int AS r, g % 1000 AS dup, g % 7 AS low,
    md5(g::text) AS txt, CASE WHEN g % 50 = 0 THEN g END AS mostly_null, g::numeric AS num
    FROM generate_series(1, :n / 2) g;
CREATE UNIQUE INDEX i_unique ON x_base (id);
CREATE INDEX i_random ON x_base (r);
CREATE INDEX i_dup ON x_base (dup);
CREATE INDEX i_low ON x_base (low);
CREATE INDEX i_text ON x_base (txt);
CREATE INDEX i_null ON x_base (mostly_null);
CREATE INDEX i_numeric ON x_base (num);
CREATE INDEX i_multi ON x_base (dup, id);
CREATE INDEX i_partial ON x_base (id) WHERE dup < 100;
CREATE INDEX i_expression ON x_base (upper(left(txt, 3)));
CREATE INDEX i_ff70 ON x_base (id) WITH (fillfactor = 70);
CREATE INDEX i_nodedup ON x_base (dup) WITH (deduplicate_items = off);
CREATE INDEX i_include ON x_base (id) INCLUDE (r, low);
CREATE INDEX i_hash ON x_base USING hash (id);
CREATE INDEX i_brin ON x_base USING brin (id) WITH (pages_per_range = 4);

CREATE TABLE x_ins (id int, r int, dup int, txt text);
CREATE INDEX i_ins_seq ON x_ins (id);
CREATE INDEX i_ins_random ON x_ins (r);
CREATE INDEX i_ins_dup ON x_ins (dup);
CREATE INDEX i_ins_text ON x_ins (txt);
CREATE INDEX i_ins_hash ON x_ins USING hash (r);
CREATE INDEX i_ins_brin ON x_ins USING brin (r) WITH (pages_per_range = 4);
INSERT INTO x_ins SELECT id, r, dup, txt FROM x_base ORDER BY id;

CREATE TABLE x_delc AS SELECT id, r, txt FROM x_base;
CREATE INDEX i_delc_seq ON x_delc (id);
CREATE INDEX i_delc_random ON x_delc (r);
DELETE FROM x_delc WHERE id < :n / 5;
VACUUM x_delc;
CREATE TABLE x_delr AS SELECT id, r, dup, txt FROM x_base;
CREATE INDEX i_delr_seq ON x_delr (id);
CREATE INDEX i_delr_dup ON x_delr (dup);
CREATE INDEX i_delr_partial ON x_delr (txt) WHERE dup > 500;
CREATE INDEX i_delr_hash ON x_delr USING hash (id);
DELETE FROM x_delr WHERE random() < 0.6;
VACUUM x_delr;
CREATE TABLE x_deln AS SELECT id, r, dup FROM x_base;
CREATE INDEX i_deln_seq ON x_deln (id);
CREATE INDEX i_deln_random ON x_deln (r);
CREATE INDEX i_deln_dup ON x_deln (dup);
CREATE INDEX i_deln_partial ON x_deln (r) WHERE dup < 500;
DELETE FROM x_deln WHERE id % 3 = 0;
CREATE TABLE x_upd AS SELECT id, r, dup, txt FROM x_base;
CREATE INDEX i_upd_seq ON x_upd (id);
CREATE INDEX i_upd_random ON x_upd (r);
CREATE INDEX i_upd_dup ON x_upd (dup);
CREATE UNIQUE INDEX i_upd_unique ON x_upd (txt);
UPDATE x_upd SET dup = dup + 1, r = r;
UPDATE x_upd SET dup = dup + 1 WHERE id % 2 = 0;
CREATE TABLE x_hot (id int, v int) WITH (fillfactor = 50);
INSERT INTO x_hot SELECT id, r FROM x_base;
CREATE INDEX i_hot ON x_hot (id);
UPDATE x_hot SET v = v + 1 WHERE id % 2 = 0;
DELETE FROM x_hot WHERE id % 4 = 0;

CREATE TABLE x_gin AS SELECT id, ARRAY[dup, low + 1000, r % 5000] AS a,
    jsonb_build_object('d', dup, 't', left(txt, 4)) AS j, to_tsvector('simple', txt || ' ' || dup) AS tv
    FROM x_base WHERE id <= :n / 5;
CREATE INDEX i_gin_array ON x_gin USING gin (a);
CREATE INDEX i_gin_jsonb ON x_gin USING gin (j jsonb_path_ops);
CREATE INDEX i_gin_text ON x_gin USING gin (tv);
CREATE TABLE x_gin_del AS SELECT * FROM x_gin;
CREATE INDEX i_gin_del ON x_gin_del USING gin (a);
DELETE FROM x_gin_del WHERE id % 4 > 0;
VACUUM x_gin_del;
CREATE TABLE x_gin_ins (LIKE x_gin);
CREATE INDEX i_gin_ins ON x_gin_ins USING gin (a) WITH (fastupdate = off);
CREATE INDEX i_gin_pending ON x_gin_ins USING gin (j) WITH (fastupdate = on, gin_pending_list_limit = 64000);
INSERT INTO x_gin_ins SELECT * FROM x_gin WHERE id <= :n / 20;
CREATE TABLE x_gist AS SELECT id, point(r % 10000, id % 10000) AS p, int4range(id, id + dup + 1) AS rg
    FROM x_base WHERE id <= :n / 5;
CREATE INDEX i_gist_point ON x_gist USING gist (p);
CREATE INDEX i_gist_range ON x_gist USING gist (rg);
CREATE TABLE x_gist_del AS SELECT * FROM x_gist;
CREATE INDEX i_gist_del ON x_gist_del USING gist (p);
DELETE FROM x_gist_del WHERE id % 5 > 0;
VACUUM x_gist_del;
CREATE TABLE x_gist_ins (LIKE x_gist);
CREATE INDEX i_gist_ins ON x_gist_ins USING gist (rg);
INSERT INTO x_gist_ins SELECT * FROM x_gist WHERE id <= :n / 10;
