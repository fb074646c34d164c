CREATE TABLE `waiting_message` (
	`target` text NOT NULL,
	`incident` text NOT NULL,
	`created` text NOT NULL,
	PRIMARY KEY(`target`, `incident`)
);
--> statement-breakpoint
CREATE INDEX `waiting_message_created` ON `waiting_message` (`created`);