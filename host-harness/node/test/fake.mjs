// A fake TikTok Shop in a process of its own.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const PROGRAM = process.env.FAKE_TIKTOK_SHOP;

export class Fake {
  static async start() {
    assert.ok(PROGRAM, 'the variable FAKE_TIKTOK_SHOP names the program of the fake');
    const fake = new Fake();
    fake.process = spawn(PROGRAM, ['--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const line of createInterface(fake.process.stdout)) {
      const { address, apps } = JSON.parse(line);
      return Object.assign(fake, { url: `http://${address}`, app: apps[0] });
    }
    throw new Error(`${PROGRAM} did not start`);
  }

  /** The fake's app, as `Host.open` takes it. */
  appOf(tenant) {
    const { app_key: appKey, app_secret: appSecret, authorization_link: authorizationLink } = this.app;
    return { tenant, appKey, appSecret, authorizationLink };
  }

  async ask(method, path, body) {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${this.url}/_control${path}`, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(answer.ok, text);
    return text && JSON.parse(text);
  }

  /** Lets a seller decide on the page of this link, and returns the query of the callback. */
  async decide(link, seller, decision = 'allow') {
    const state = new URL(link).searchParams.get('state') ?? undefined;
    const consent = { service_id: this.app.service_id, state, seller, decision };
    return (await this.ask('POST', '/consent', consent)).callback_query;
  }

  stop() {
    this.process.kill();
  }

  /** Stops the fake, and waits until nothing listens at its address. */
  async stopped() {
    const ended = once(this.process, 'exit');
    this.stop();
    await ended;
  }

  [Symbol.asyncDispose]() {
    this.stop();
  }
}
