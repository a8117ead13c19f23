-- Schema 2. Programs of schema 1 may work beside: what is added has defaults.
-- compatible: 1

ALTER TABLE workers ADD COLUMN joined INTEGER NOT NULL DEFAULT 0;  -- workers are counted as they come; 0: a program of schema 1
ALTER TABLE workers ADD COLUMN knows  INTEGER NOT NULL DEFAULT 0;  -- it has made room for all that came up to this one
