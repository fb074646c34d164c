-- drizzle-kit makes no triggers, virtual tables or rows: prepared with its --custom, written by hand.
-- Full-text search over hosted packages: it follows the rows in the transaction of each change.
-- The numbers are kept in a table of their own, since those of `hosted_package` may change (VACUUM).
CREATE TABLE `hosted_search_name` (`id` integer PRIMARY KEY NOT NULL, `name` text NOT NULL UNIQUE);
--> statement-breakpoint
CREATE VIRTUAL TABLE `hosted_search` USING fts5(`name`, `description`, `keywords`, tokenize = 'unicode61', prefix = '2 3');
--> statement-breakpoint
CREATE TRIGGER `hosted_search_tag_added` AFTER INSERT ON `hosted_tag` WHEN new.`tag` = 'latest' BEGIN
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
--> statement-breakpoint
CREATE TRIGGER `hosted_search_tag_moved` AFTER UPDATE ON `hosted_tag` WHEN new.`tag` = 'latest' BEGIN
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
--> statement-breakpoint
CREATE TRIGGER `hosted_search_package_changed` AFTER UPDATE OF `description`, `unpublished` ON `hosted_package` BEGIN
  DELETE FROM `hosted_search` WHERE rowid = (SELECT `id` FROM `hosted_search_name` WHERE `name` = new.`name`);
  INSERT INTO `hosted_search` (rowid, `name`, `description`, `keywords`)
    SELECT `n`.`id`, `p`.`name`, coalesce(`p`.`description`, ''), coalesce(json_extract(`v`.`manifest`, '$.keywords'), '')
    FROM `hosted_search_name` AS `n`
    JOIN `hosted_package` AS `p` ON `p`.`name` = `n`.`name` AND `p`.`unpublished` IS NULL
    JOIN `hosted_tag` AS `t` ON `t`.`name` = `n`.`name` AND `t`.`tag` = 'latest'
    JOIN `hosted_version` AS `v` ON `v`.`name` = `n`.`name` AND `v`.`version` = `t`.`version`
    WHERE `n`.`name` = new.`name`;
END;
--> statement-breakpoint
-- The CI systems whose id tokens npm's clients fetch by themselves. The operator may remove them.
INSERT INTO `oidc_issuer` (`issuer`, `type`, `created`) VALUES
	('https://token.actions.githubusercontent.com', 'github', '2026-11-22T00:00:00Z'),
	('https://gitlab.com', 'gitlab', '2026-11-22T00:00:00Z'),
	('https://oidc.circleci.com/org/*', 'circleci', '2026-11-22T00:00:00Z');
