// An effect in TypeScript: ask a service that carries out each Idempotency-Key once.
type Event = { message_id: string; payload: { order: string }; attempt: number; redrives: number };

export const handler = async ({ message_id, payload }: Event): Promise<void> => {
  const answer = await fetch(`${process.env.SHIPPING_URL}/shipments`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": message_id },
    body: JSON.stringify(payload),
  });
  const told = await answer.text();
  if (answer.status === 422) throw Object.assign(new Error(told), { name: "InvalidMessage" });
  if (!answer.ok) throw new Error(`The service answered ${answer.status}.`); // any other: retried
};
