// The API's types, made of its OpenAPI description by the tests.
import type { components } from "airlift-api";

type Schemas = components["schemas"];
export type Firmware = Schemas["Firmware"];
export type FirmwareStatus = Schemas["FirmwareStatus"];
export type Gateway = Schemas["Gateway"];
export type GatewayPage = Schemas["GatewayPage"];
export type Package = Schemas["Package"];
export type Rollout = Schemas["Rollout"];
export type RolloutDryRun = Schemas["RolloutDryRun"];
export type RolloutGateway = Schemas["RolloutGateway"];
export type RolloutRequest = Schemas["RolloutRequest"];
export type Session = Schemas["Session"];
export type Statistics = Schemas["Statistics"];
export type Task = Schemas["Task"];
export type TaskEvent = Schemas["TaskEvent"];
export type TaskStatus = Schemas["TaskStatus"];
export type Timeline = Schemas["Timeline"];
export type Why = Schemas["Why"];
export type AuditLine = Schemas["AuditLine"];
export type Token = Schemas["Token"];
export type User = Schemas["User"];
export type ProvisioningKey = Schemas["ProvisioningKey"];
export type GatewayToken = Schemas["GatewayToken"];
export type Webhook = Schemas["Webhook"];
export type Delivery = Schemas["Delivery"];
export type EventKind = Schemas["EventKind"];
export type PingResult = Schemas["PingResult"];
export type Role = Schemas["Role"];
export type ServerSettings = Schemas["ServerSettings"];
export type Setting = Schemas["Setting"];
export type SigningKey = Schemas["SigningKey"];
export type SigningKeys = Schemas["SigningKeys"];

export type Page<Item> = { items: Item[]; nextCursor?: string | null };

/** An event of the stream. */
export type FleetEvent = {
  eventId: number;
  kind: string;
  createdAt: string;
  gatewayId: string | null;
  taskId: string | null;
  rolloutId: string | null;
  data: any;
};
