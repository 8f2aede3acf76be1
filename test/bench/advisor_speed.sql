-- What-if plans and cached re-costings a second, and the error of the latter against real plans.
-- Run in a database with the star schema (advisor_star.sql, advisor_star_queries.sql).
SET jit = off;
\echo five questions of one to five relations
SELECT * FROM dbopt._search_figures((SELECT array_agg(sql ORDER BY n) FROM star.question WHERE n IN (4, 6, 12, 13, 16)));
\echo all
SELECT * FROM dbopt._search_figures((SELECT array_agg(sql ORDER BY n) FROM star.question));
