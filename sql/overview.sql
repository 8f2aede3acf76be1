-- The first calls after CREATE EXTENSION.
SELECT component, state FROM dbopt.status() WHERE component IN ('version', 'preload') ORDER BY 1;
SELECT area, object, status, detail FROM dbopt.setup('test') WHERE area = 'server';
SELECT * FROM dbopt.setup('moon');
