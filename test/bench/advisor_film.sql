-- A film archive of 21 tables: narrow references, many-to-many joins, heavy skew, columns that depend on
-- each other, long texts. :scale 1 is about 70 MB. Queries join 4 to 14 of them.
SELECT setseed(0.61);
CREATE SCHEMA film;
SET search_path = film, public;
CREATE TABLE title_kind (id int PRIMARY KEY, kind text NOT NULL);
CREATE TABLE firm_kind (id int PRIMARY KEY, kind text NOT NULL);
CREATE TABLE fact_kind (id int PRIMARY KEY, info text NOT NULL);
CREATE TABLE role_kind (id int PRIMARY KEY, role text NOT NULL);
CREATE TABLE link_kind (id int PRIMARY KEY, link text NOT NULL);
CREATE TABLE state_kind (id int PRIMARY KEY, kind text NOT NULL);
CREATE TABLE title (id int PRIMARY KEY, name text NOT NULL, kind_id int NOT NULL, year int, part_of int, season int, episode int, code text);
CREATE TABLE title_alias (id int PRIMARY KEY, title_id int NOT NULL, name text NOT NULL, kind_id int NOT NULL, year int, note text);
CREATE TABLE firm (id int PRIMARY KEY, name text NOT NULL, country text, code text);
CREATE TABLE title_firm (id int PRIMARY KEY, title_id int NOT NULL, firm_id int NOT NULL, kind_id int NOT NULL, note text);
CREATE TABLE word (id int PRIMARY KEY, word text NOT NULL, code text);
CREATE TABLE title_word (id int PRIMARY KEY, title_id int NOT NULL, word_id int NOT NULL);
CREATE TABLE title_fact (id int PRIMARY KEY, title_id int NOT NULL, kind_id int NOT NULL, info text NOT NULL, note text);
CREATE TABLE title_score (id int PRIMARY KEY, title_id int NOT NULL, kind_id int NOT NULL, info text NOT NULL);
CREATE TABLE title_link (id int PRIMARY KEY, title_id int NOT NULL, linked_id int NOT NULL, kind_id int NOT NULL);
CREATE TABLE title_state (id int PRIMARY KEY, title_id int, subject_id int NOT NULL, status_id int NOT NULL);
CREATE TABLE person (id int PRIMARY KEY, name text NOT NULL, gender char(1), code text);
CREATE TABLE person_alias (id int PRIMARY KEY, person_id int NOT NULL, name text NOT NULL);
CREATE TABLE person_fact (id int PRIMARY KEY, person_id int NOT NULL, kind_id int NOT NULL, info text NOT NULL, note text);
CREATE TABLE figure (id int PRIMARY KEY, name text NOT NULL, code text);
CREATE TABLE credit (id int PRIMARY KEY, person_id int NOT NULL, title_id int NOT NULL, figure_id int, note text, place int, role_id int NOT NULL);

INSERT INTO title_kind SELECT i, (ARRAY['movie','series','tv movie','video movie','tv mini','video game','episode'])[i] FROM generate_series(1, 7) i;
INSERT INTO firm_kind SELECT i, (ARRAY['distributors','production companies','special effects','miscellaneous'])[i] FROM generate_series(1, 4) i;
INSERT INTO fact_kind SELECT i, coalesce((ARRAY['runtimes','colour','genres','languages','certificates','sound','countries','budget','release dates','locations','rating','votes','top 250 rank','bottom 10 rank','birth date','biography','trivia','height'])[i], 'info ' || i) FROM generate_series(1, 110) i;
INSERT INTO role_kind SELECT i, (ARRAY['actor','actress','producer','writer','camera','composer','costumes','director','editor','guest','production designer','miscellaneous crew'])[i] FROM generate_series(1, 12) i;
INSERT INTO link_kind SELECT i, (ARRAY['follows','followed by','remake of','remade as','references','referenced in','spoofs','spoofed in','features','featured in','spin off from','spin off','version of','similar to','edited into','edited from','alternate of','unknown'])[i] FROM generate_series(1, 18) i;
INSERT INTO state_kind SELECT i, (ARRAY['cast','crew','complete','complete+verified'])[i] FROM generate_series(1, 4) i;
-- Years and kinds depend on each other: episodes are young, games younger.
INSERT INTO title SELECT i, (ARRAY['The ','A ','My ','','',''])[1 + i % 6] || (ARRAY['Night','House','Champion','Money','Dragon','Kung Fu','Saw','Freddy','Jason','Shrek','Vampire','Murder','Love','Road','City'])[1 + floor(15 * power(random(), 1.6))::int] || ' ' || md5(i::text), k,
  CASE WHEN i % 20 > 0 THEN CASE k WHEN 7 THEN 1990 + floor(24 * sqrt(random()))::int WHEN 6 THEN 1998 + floor(16 * random())::int ELSE 1905 + floor(108 * power(random(), 0.4))::int END END,
  CASE WHEN k = 7 THEN 1 + floor(power(random(), 3) * 24000 * :scale)::int END, CASE WHEN k = 7 THEN 1 + floor(random() * 20)::int END, CASE WHEN k = 7 THEN 1 + floor(random() * 40)::int END, CASE WHEN i % 3 = 0 THEN upper(left(md5(i::text), 5)) END
  FROM (SELECT i, (ARRAY[7,7,7,7,7,7,1,1,1,1,4,3,2,6,5])[1 + floor(random() * 15)::int] AS k FROM generate_series(1, 25000 * :scale) i) x;
INSERT INTO title_alias SELECT i, 1 + floor(power(random(), 2) * 25000 * :scale)::int, 'Alias ' || md5(i::text), 1 + i % 7, 1950 + i % 64, CASE WHEN i % 4 = 0 THEN '(World-wide, English title)' END FROM generate_series(1, 3600 * :scale) i;
INSERT INTO firm SELECT i, (ARRAY['Metro','Twentieth','Warner','Film','Universal','Lionsgate','YouTube','Independent'])[1 + floor(8 * random())::int] || ' ' || left(md5(i::text), 12), CASE WHEN i % 12 > 0 THEN (ARRAY['[us]','[us]','[us]','[gb]','[de]','[fr]','[jp]','[in]','[it]','[es]','[ca]','[nl]','[se]','[pl]','[ru]'])[1 + floor(15 * power(random(), 1.5))::int] END, left(md5(i::text), 5) FROM generate_series(1, 2400 * :scale) i;
INSERT INTO title_firm SELECT i, 1 + floor(power(random(), 1.3) * 25000 * :scale)::int, 1 + floor(power(random(), 4) * 2400 * :scale)::int, (ARRAY[1,1,2,2,2,4])[1 + floor(6 * random())::int], CASE WHEN i % 2 = 0 THEN (ARRAY['(2006) (USA) (TV)','(co-production)','(presents)','(1994) (worldwide)','(2010) (Japan) (DVD)','(as Metro-Goldwyn-Mayer Pictures)','(2013) (USA) (theatrical)'])[1 + floor(7 * random())::int] END FROM generate_series(1, 26000 * :scale) i;
INSERT INTO word SELECT i, coalesce((ARRAY['character-name-in-title','sequel','based-on-novel','superhero','murder','violence','blood','revenge','hero','marvel-comics','fight','magnet','web','10,000-mile-club','gore','hospital','female-nudity'])[i], 'word-' || left(md5(i::text), 9)), NULL FROM generate_series(1, 4000 * :scale) i;
INSERT INTO title_word SELECT i, 1 + floor(power(random(), 2.5) * 25000 * :scale)::int, 1 + floor(power(random(), 3.5) * 4000 * :scale)::int FROM generate_series(1, 45000 * :scale) i;
-- What a fact says depends on its kind.
INSERT INTO title_fact SELECT i, 1 + floor(power(random(), 1.4) * 25000 * :scale)::int, k, CASE k WHEN 3 THEN (ARRAY['Drama','Drama','Comedy','Documentary','Short','Action','Thriller','Horror','Crime','Sci-Fi','Family','War'])[1 + floor(12 * power(random(), 1.4))::int] WHEN 7 THEN (ARRAY['USA','USA','UK','Germany','France','Japan','India','Italy','Canada','Sweden','Denmark','Bulgaria'])[1 + floor(12 * power(random(), 1.6))::int] WHEN 4 THEN (ARRAY['English','English','English','German','French','Japanese','Spanish'])[1 + floor(7 * random())::int] WHEN 9 THEN (ARRAY['USA','Japan','Germany','UK'])[1 + floor(4 * random())::int] || ':' || (1 + i % 28) || ' ' || (ARRAY['January','June','August','October'])[1 + i % 4] || ' ' || 1960 + floor(54 * sqrt(random()))::int WHEN 8 THEN '$' || (random() * 9000000)::int ELSE md5(i::text) || repeat('.', (random() * 60)::int) END, CASE WHEN i % 5 = 0 THEN '(internet) ' || i % 9 WHEN i % 7 = 0 THEN '(premiere)' END
  FROM (SELECT i, (ARRAY[1,2,3,3,3,4,5,6,7,7,8,9,9,9,10,16,17])[1 + floor(17 * random())::int] AS k FROM generate_series(1, 150000 * :scale) i) x;
INSERT INTO title_score SELECT i, 1 + i % (25000 * :scale), k, CASE k WHEN 11 THEN (1 + (random() * 89)::int / 10.0)::text WHEN 12 THEN (5 + floor(power(random(), 8) * 900000))::int::text ELSE (1 + i % 250)::text END FROM (SELECT i, (ARRAY[11,12,11,12,11,12,11,12,11,12,13])[1 + i % 11] AS k FROM generate_series(1, 14000 * :scale) i) x;
INSERT INTO title_link SELECT i, 1 + floor(power(random(), 3) * 25000 * :scale)::int, 1 + floor(power(random(), 2) * 25000 * :scale)::int, 1 + floor(power(random(), 1.5) * 18)::int FROM generate_series(1, 1200 * :scale) i;
INSERT INTO title_state SELECT i, 1 + floor(power(random(), 1.5) * 25000 * :scale)::int, 1 + i % 2, 3 + (random() * 0.7)::int FROM generate_series(1, 1350 * :scale) i;
INSERT INTO person SELECT i, (ARRAY['Bob','Tim','Ann','Bea','Yo','Xavier','Downey','Angel','Steven','Kate','Zoe','Mia'])[1 + floor(12 * random())::int] || ', ' || left(md5(i::text), 10), (ARRAY['m','m','f',NULL])[1 + i % 4], left(md5(i::text), 5) FROM generate_series(1, 42000 * :scale) i;
INSERT INTO person_alias SELECT i, 1 + floor(power(random(), 2) * 42000 * :scale)::int, 'Also ' || chr(97 + i % 26) || left(md5(i::text), 8) FROM generate_series(1, 9000 * :scale) i;
INSERT INTO person_fact SELECT i, 1 + floor(power(random(), 2.2) * 42000 * :scale)::int, (ARRAY[15,16,16,17,18,19,20,21])[1 + floor(8 * random())::int], md5(i::text) || repeat('x', (random() * 200)::int), CASE WHEN i % 6 = 0 THEN (ARRAY['Volker Boehm','Some Body','Archive'])[1 + i % 3] END FROM generate_series(1, 30000 * :scale) i;
INSERT INTO figure SELECT i, (ARRAY['Himself','Herself','Queen','Iron Man','Narrator','Doctor','Policeman'])[1 + floor(7 * power(random(), 2))::int] || CASE WHEN i % 3 = 0 THEN '' ELSE ' ' || left(md5(i::text), 7) END, NULL FROM generate_series(1, 31000 * :scale) i;
-- Roles depend on the person's gender; famous people and famous titles have most of the credits.
INSERT INTO credit SELECT i, p, 1 + floor(power(random(), 1.8) * 25000 * :scale)::int, CASE WHEN i % 2 = 0 THEN 1 + floor(power(random(), 2) * 31000 * :scale)::int END, CASE WHEN i % 4 = 0 THEN (ARRAY['(voice)','(uncredited)','(producer)','(executive producer)','(writer)','(voice: English version)','(head writer)','(as himself)'])[1 + floor(8 * random())::int] END, i % 60, CASE WHEN random() < 0.6 THEN CASE p % 4 WHEN 2 THEN 2 ELSE 1 END ELSE 3 + floor(10 * power(random(), 1.5))::int END
  FROM (SELECT i, 1 + floor(power(random(), 2) * 42000 * :scale)::int AS p FROM generate_series(1, 360000 * :scale) i) x;
VACUUM ANALYZE;
