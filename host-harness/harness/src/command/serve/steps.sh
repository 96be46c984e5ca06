# 1. Begin a connect session for customer-7. The platform sends the browser of the seller to its address.
API="$SERVICE/v1/customers/customer-7" AUTH="Authorization: Bearer $KEY" JSON="Content-Type: application/json"
SESSION=$(curl -sS -H "$AUTH" -H "$JSON" -d "{\"return_to\":\"$SERVICE/healthz\"}" "$API/connect-sessions"); echo "$SESSION"
# 2. The browser opens the address, and is sent to the consent page.
ADDRESS=$(echo "$SESSION" | sed 's/.*"address":"\([^"]*\)".*/\1/'); COOKIES=$(mktemp)
LINK=$(curl -sS -c "$COOKIES" -o /dev/null -w '%{redirect_url}' "$ADDRESS"); echo "$LINK"
# 3. The seller allows. The browser comes back to the service, which says how it ended.
curl -sS -L -b "$COOKIES" -d "${LINK#*\?}&seller=one-shop&decision=allow" "${LINK%%\?*}"; echo
# 4. List the shops of the customer.
SHOPS=$(curl -sS -H "$AUTH" "$API/shops"); echo "$SHOPS"
SHOP=$(echo "$SHOPS" | sed 's/.*"shops":\[{"id":"\([^"]*\)".*/\1/'); ACCOUNT=$(echo "$SHOPS" | sed 's/.*"account":"\([^"]*\)".*/\1/')
# 5. Search orders with a signed call. The platform sees no token.
curl -sS -H "$AUTH" -H "$JSON" -d '{}' "$API/shops/$SHOP/tiktok/order/202309/orders/search?page_size=1"; echo
# 6. Let eight days pass. The access token ends, and a refresh renews it.
curl -sS -H "$JSON" -d '{"seconds":691200}' "$FAKE/_control/clock/advance"; echo
curl -sS -H "$AUTH" -H "$JSON" -d '{"mode":"when-due"}' "$API/connections/$ACCOUNT/refresh"; echo
# 7. Disconnect the customer. The app keeps its access at TikTok Shop.
curl -sS -H "$AUTH" -H "$JSON" -d '{"tiktok_access":"keep"}' "$API/disconnect"; echo
# 8. Connect again, and see what has happened.
ADDRESS=$(curl -sS -H "$AUTH" -H "$JSON" -d '{}' "$API/connect-sessions" | sed 's/.*"address":"\([^"]*\)".*/\1/')
LINK=$(curl -sS -c "$COOKIES" -o /dev/null -w '%{redirect_url}' "$ADDRESS")
curl -sS -L -b "$COOKIES" -d "${LINK#*\?}&seller=one-shop&decision=allow" "${LINK%%\?*}"; echo
curl -sS -H "$AUTH" "$SERVICE/v1/events"; echo
# 9. The platform got the same events as signed webhooks.
curl -sS "$RECEIVER/received?at_least=5"; echo
