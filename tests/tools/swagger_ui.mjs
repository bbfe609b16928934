// Uses the Swagger UI as a reader of the document would, in a browser that reaches the api alone.
//
//     node swagger_ui.mjs API-ADDRESS ADMIN-KEY SCREENSHOT TOKEN-FILE
//
// It creates an application, a chat in it and a message in that by "Try it out", reads the message,
// and lists the applications with the admin key. It leaves a screenshot and the application's token.
// It prints whatever it finds wrong, and then ends with code 1.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

const [address, adminKey, screenshot, tokenFile] = process.argv.slice(2);
const tools = process.env.CHAT_TEST_TOOLS;
const { chromium } = createRequire(path.join(tools, 'package.json'))('playwright-core');

// Longer than any step takes on a busy machine.
const PATIENCE = 30_000;

const ARGUMENTS = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    // No name is resolved, whatever the page or the browser asks for.
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
];

const complaints = [];
let requests = 0;

const browser = await chromium.launch({
    executablePath: path.join(tools, 'chromium'),
    headless: true,
    args: ARGUMENTS,
    timeout: PATIENCE,
});
try {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    context.setDefaultTimeout(PATIENCE);
    await context.route('**/*', (route) => {
        const url = new URL(route.request().url());
        requests += 1;
        if (url.host === address) {
            return route.continue();
        }
        complaints.push(`another host was asked: ${url}`);
        return route.abort();
    });
    const page = await context.newPage();
    page.on('pageerror', (error) => complaints.push(`the page failed: ${error.stack}`));
    page.on('requestfailed', (request) => {
        complaints.push(`no answer to ${request.method()} ${request.url()}`);
    });
    page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) {
            complaints.push(`the console says: ${message.text()} (${message.location().url})`);
        }
    });
    await use(page).catch((error) => complaints.push(error.stack));
    await page
        .screenshot({ path: screenshot, fullPage: true })
        .catch((error) => complaints.push(error.stack));
} finally {
    await browser.close();
}
console.log(complaints.join('\n') || `${requests} requests, all to ${address}`);
process.exitCode = complaints.length === 0 ? 0 : 1;

async function use(page) {
    await page.goto(`http://${address}/docs`);
    await page.locator('.opblock').first().waitFor();
    assert.equal(await page.locator('.errors-wrapper').count(), 0, 'the document has errors');

    const application = await created(page, 'Applications', 'createApplication', {
        body: { name: 'from the page' },
    });
    assert.match(application.token, /^[A-Za-z0-9]{32}$/);
    assert.equal(application.name, 'from the page');
    assert.equal(application.chats_count, 0);

    const token = application.token;
    await writeFile(tokenFile, token);
    const chat = await created(page, 'Chats', 'createChat', {
        parameters: { token },
        body: { title: 'a chat 🦀' },
    });
    assert.equal(chat.number, 1);
    assert.equal(chat.title, 'a chat 🦀');
    assert.equal(chat.messages_count, 0);

    const message = await created(page, 'Messages', 'createMessage', {
        parameters: { token, chat: '1', 'Idempotency-Key': 'once' },
        body: { sender: 'ann', body: 'hello <b>&amp;' },
    });
    assert.equal(message.number, 1);
    assert.equal(message.sender, 'ann');
    assert.equal(message.body, 'hello <b>&amp;');

    const read = await tryOut(page, 'Messages', 'getMessage', {
        parameters: { token, chat: '1', message: '1' },
    });
    assert.equal(read.status, '200');
    assert.deepEqual(read.body, message);

    await authorize(page);
    const listed = await tryOut(page, 'Applications', 'listApplications', {});
    assert.equal(listed.status, '200');
    assert.deepEqual(listed.body.items.map((item) => item.token), [token]);

    // Shown in the screenshot, with its answer.
    await summary(page, 'Messages', 'createMessage').click();
}

// Creates something, and returns it as the page shows it.
async function created(page, tag, operation, request) {
    const { status, body } = await tryOut(page, tag, operation, request);
    assert.equal(status, '201', `${operation} was answered ${status}: ${JSON.stringify(body)}`);
    return body;
}

// Fills an operation's form in, sends it, and returns the status and the body that are shown then.
async function tryOut(page, tag, operation, { parameters = {}, body }) {
    const block = page.locator(`#operations-${tag}-${operation}`);
    await summary(page, tag, operation).click();
    await block.getByRole('button', { name: 'Try it out' }).click();
    for (const [name, value] of Object.entries(parameters)) {
        await block.locator(`tr[data-param-name="${name}"] input`).fill(value);
    }
    if (body !== undefined) {
        await block.locator('textarea.body-param__text').fill(JSON.stringify(body));
    }
    await block.getByRole('button', { name: 'Execute' }).click();
    const answer = block.locator('.live-responses-table tr.response');
    const status = await answer.locator('.response-col_status').innerText();
    const text = await answer.locator('.response-col_description pre').first().innerText();
    // Closed again, because every open operation makes the page slower.
    await summary(page, tag, operation).click();
    return { status: status.trim(), body: JSON.parse(text) };
}

// The line that opens and closes an operation.
function summary(page, tag, operation) {
    return page.locator(`#operations-${tag}-${operation} .opblock-summary-control`);
}

// Enters the admin key where "Authorize" asks for it.
async function authorize(page) {
    await page.locator('.auth-wrapper .authorize').first().click();
    const dialog = page.locator('.dialog-ux');
    await dialog.locator('input').fill(adminKey);
    await dialog.getByRole('button', { name: 'Apply credentials' }).click();
    await dialog.getByRole('button', { name: 'Close' }).last().click();
}
