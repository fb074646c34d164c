-- Prepared with drizzle-kit's --custom, written by hand: triggers are nothing that it makes.
-- The next version says the same of itself as the last one, mostly: then search has nothing to follow.
DROP TRIGGER `hosted_search_tag_moved`;
--> statement-breakpoint
CREATE TRIGGER `hosted_search_tag_moved` AFTER UPDATE ON `hosted_tag` WHEN new.`tag` = 'latest'
  AND (SELECT json_extract(`manifest`, '$.keywords') FROM `hosted_version` WHERE `name` = old.`name` AND `version` = old.`version`)
    IS NOT (SELECT json_extract(`manifest`, '$.keywords') FROM `hosted_version` WHERE `name` = new.`name` AND `version` = new.`version`)
BEGIN
  INSERT INTO `hosted_search_name` (`name`)
    SELECT new.`name` WHERE NOT EXISTS (SELECT 1 FROM `hosted_search_name` WHERE `name` = new.`name`);
  DELETE FROM `hosted_search` WHERE rowid = (SELECT `id` FROM `hosted_search_name` WHERE `name` = new.`name`);
  INSERT INTO `hosted_search` (rowid, `name`, `description`, `keywords`)
    SELECT `n`.`id`, `p`.`name`, coalesce(`p`.`description`, ''), coalesce(json_extract(`v`.`manifest`, '$.keywords'), '')
    FROM `hosted_search_name` AS `n`
    JOIN `hosted_package` AS `p` ON `p`.`name` = `n`.`name` AND `p`.`unpublished` IS NULL
    JOIN `hosted_tag` AS `t` ON `t`.`name` = `n`.`name` AND `t`.`tag` = 'latest'
    JOIN `hosted_version` AS `v` ON `v`.`name` = `n`.`name` AND `v`.`version` = `t`.`version`
    WHERE `n`.`name` = new.`name`;
END;
