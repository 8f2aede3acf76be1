-- what dbopt.setup() proposes
SELECT to_regprocedure('dbopt.setup(text, boolean)') IS NOT NULL AS here \gset
\if :here
SELECT area, object, reason, status FROM dbopt.setup('production');
\endif
