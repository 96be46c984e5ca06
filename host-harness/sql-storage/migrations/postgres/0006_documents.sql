-- Rows as documents. `document` is the JSON text that the host seals a digest of, so it must stay byte for byte.
-- PostgreSQL therefore has the type json: jsonb would not keep the text. Null: a host of release 0.1 wrote the row, and
-- the other columns hold everything about it. The next write of the row makes a document. The other columns stay: they
-- are copies of values in the document, for lists and joins.

ALTER TABLE tiktok_shop_connections ADD COLUMN document json;

-- The revision of the write that wrote the document. It is the revision of the row.
ALTER TABLE tiktok_shop_connections ADD COLUMN document_revision TEXT;

-- A host of release 0.1 that still runs does not know the document, and would leave an old one. So its writes of rows are
-- refused. It may still delete rows, write tokens, and seal values with another key.
CREATE FUNCTION tiktok_shop_check_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.document IS NULL OR NEW.document_revision IS DISTINCT FROM NEW.revision THEN
        RAISE EXCEPTION 'a host of an earlier release may not write rows in this database: update the host'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER tiktok_shop_connections_document BEFORE INSERT OR UPDATE OF revision ON tiktok_shop_connections
FOR EACH ROW EXECUTE FUNCTION tiktok_shop_check_document();
