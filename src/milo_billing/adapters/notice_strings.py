"""The words of notices, by language: for each event a subject and a sentence, and labels of the facts.

Braces are filled in with the event's data as the reader writes them. Every language has every event; a test says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Texts:
    """Every fixed text of a notice. `events` has (subject, sentence) by type."""

    greeting: str
    closing: str
    labels: Mapping[str, str]
    events: Mapping[str, tuple[str, str]]


_EN: Final = Texts(
    greeting="Hello,",
    closing="This message was sent automatically.",
    labels={
        "number": "Invoice",
        "creditNote": "Credit note",
        "cancellation": "Cancellation",
        "creditGrant": "Credit",
        "remaining": "Remaining",
        "expiresAt": "Expires",
        "payment": "Payment",
        "transfer": "Transfer",
        "account": "Billing account",
        "channel": "Channel",
        "total": "Total",
        "amount": "Amount",
        "credited": "Credited",
        "amountDue": "Amount due",
        "issuedOn": "Issue date",
        "dueOn": "Due date",
        "suspendsOn": "Suspension on",
        "nextAttemptOn": "Next attempt",
        "invoices": "Invoices",
        "reason": "Reason",
    },
    events={
        "invoice.issued": (
            "Invoice {number} for {total}",
            "please find your invoice {number} for {total} attached or in your account. It is due on {dueOn}.",
        ),
        "invoice.past_due": (
            "Invoice {number} is past due",
            "invoice {number} was due on {dueOn}, and {amountDue} is still open. "
            "If you have paid in the meantime, please disregard this message.",
        ),
        "invoice.paid": ("Invoice {number} is paid", "invoice {number} is paid in full. Thank you."),
        "invoice.voided": (
            "Invoice {number} was voided",
            "invoice {number} was voided. Nothing is owed for it.",
        ),
        "invoice.written_off": ("Invoice {number} was written off", "invoice {number} was written off."),
        "creditnote.issued": (
            "Credit note {creditNote} for {credited}",
            "credit note {creditNote} for {credited} was issued against invoice {number}.",
        ),
        "creditnote.cancelled": (
            "Credit note {creditNote} is cancelled",
            "{cancellation} cancels credit note {creditNote}: {amount} of invoice {number} are owed again.",
        ),
        "credit.used_up": (
            "Credit {creditGrant} is used up",
            "nothing is left of your credit {creditGrant} of {amount}.",
        ),
        "credit.expiring": (
            "Credit {creditGrant} expires soon",
            "{remaining} of your credit {creditGrant} are left, and expire soon.",
        ),
        "credit.expired": (
            "Credit {creditGrant} has expired",
            "your credit {creditGrant} has expired; {remaining} of it were not used.",
        ),
        "credit.taken_back": (
            "Credit {creditGrant} was taken back",
            "the payment that your credit {creditGrant} was bought with went back: {takenBack} of it were taken back.",
        ),
        "payment.succeeded": (
            "Payment of {amount} received",
            "we have received your payment of {amount}. Thank you.",
        ),
        "payment.failed": (
            "Payment of {amount} failed",
            "your payment of {amount} could not be collected. Please check your payment method.",
        ),
        "payment.refunded": ("Refund of {amount}", "we have refunded {amount} to you."),
        "transfer.booked": (
            "Refund of {amount} by bank transfer",
            "we have paid {amount} back to you by bank transfer.",
        ),
        "transfer.returned": (
            "Our transfer of {amount} came back",
            "our bank transfer of {amount} to you came back. Please tell us which bank account we may pay it to.",
        ),
        "account.suspension_announced": (
            "Billing account {account} will be suspended",
            "your billing account {account} will be suspended on {suspendsOn} unless the open amount is paid before.",
        ),
        "account.suspended": (
            "Billing account {account} was suspended",
            "your billing account {account} was suspended.",
        ),
        "account.reactivated": (
            "Billing account {account} is active again",
            "your billing account {account} is active again.",
        ),
        "notices.test": (
            "Test of the channel {channel}",
            "this is a test of the channel {channel}. If you can read it, the channel works.",
        ),
    },
)

_DE: Final = Texts(
    greeting="Guten Tag,",
    closing="Diese Nachricht wurde automatisch versandt.",
    labels={
        "number": "Rechnung",
        "creditNote": "Rechnungskorrektur",
        "cancellation": "Storno",
        "creditGrant": "Guthaben",
        "remaining": "Rest",
        "expiresAt": "Läuft ab",
        "payment": "Zahlung",
        "transfer": "Überweisung",
        "account": "Abrechnungskonto",
        "channel": "Kanal",
        "total": "Gesamtbetrag",
        "amount": "Betrag",
        "credited": "Gutgeschrieben",
        "amountDue": "Offener Betrag",
        "issuedOn": "Rechnungsdatum",
        "dueOn": "Fällig am",
        "suspendsOn": "Sperrung am",
        "nextAttemptOn": "Nächster Versuch",
        "invoices": "Rechnungen",
        "reason": "Grund",
    },
    events={
        "invoice.issued": (
            "Rechnung {number} über {total}",
            "Ihre Rechnung {number} über {total} finden Sie im Anhang oder in Ihrem Konto. Sie ist am {dueOn} fällig.",
        ),
        "invoice.past_due": (
            "Rechnung {number} ist überfällig",
            "die Rechnung {number} war am {dueOn} fällig, und {amountDue} sind noch offen. "
            "Falls Sie inzwischen gezahlt haben, betrachten Sie diese Nachricht bitte als gegenstandslos.",
        ),
        "invoice.paid": (
            "Rechnung {number} ist bezahlt",
            "die Rechnung {number} ist vollständig bezahlt. Vielen Dank.",
        ),
        "invoice.voided": (
            "Rechnung {number} wurde storniert",
            "die Rechnung {number} wurde storniert. Sie müssen dafür nichts zahlen.",
        ),
        "invoice.written_off": (
            "Rechnung {number} wurde ausgebucht",
            "die Rechnung {number} wurde ausgebucht.",
        ),
        "creditnote.issued": (
            "Rechnungskorrektur {creditNote} über {credited}",
            "zur Rechnung {number} wurde die Rechnungskorrektur {creditNote} über {credited} ausgestellt.",
        ),
        "creditnote.cancelled": (
            "Rechnungskorrektur {creditNote} wurde storniert",
            "{cancellation} storniert die Rechnungskorrektur {creditNote}: {amount} der Rechnung {number} "
            "sind wieder offen.",
        ),
        "credit.used_up": (
            "Guthaben {creditGrant} ist aufgebraucht",
            "Ihr Guthaben {creditGrant} über {amount} ist aufgebraucht.",
        ),
        "credit.expiring": (
            "Guthaben {creditGrant} läuft bald ab",
            "von Ihrem Guthaben {creditGrant} sind {remaining} übrig; der Rest läuft bald ab.",
        ),
        "credit.expired": (
            "Guthaben {creditGrant} ist abgelaufen",
            "Ihr Guthaben {creditGrant} ist abgelaufen; {remaining} davon wurden nicht genutzt.",
        ),
        "credit.taken_back": (
            "Guthaben {creditGrant} wurde zurückgenommen",
            "die Zahlung für Ihr Guthaben {creditGrant} ist zurückgegangen: {takenBack} davon wurden zurückgenommen.",
        ),
        "payment.succeeded": (
            "Zahlung über {amount} eingegangen",
            "Ihre Zahlung über {amount} ist eingegangen. Vielen Dank.",
        ),
        "payment.failed": (
            "Zahlung über {amount} fehlgeschlagen",
            "Ihre Zahlung über {amount} konnte nicht eingezogen werden. Bitte prüfen Sie Ihr Zahlungsmittel.",
        ),
        "payment.refunded": ("Erstattung über {amount}", "wir haben Ihnen {amount} erstattet."),
        "transfer.booked": (
            "Erstattung über {amount} per Überweisung",
            "wir haben Ihnen {amount} per Überweisung zurückgezahlt.",
        ),
        "transfer.returned": (
            "Unsere Überweisung über {amount} kam zurück",
            "unsere Überweisung über {amount} an Sie kam zurück. "
            "Bitte nennen Sie uns ein Bankkonto, auf das wir zahlen können.",
        ),
        "account.suspension_announced": (
            "Abrechnungskonto {account} wird gesperrt",
            "Ihr Abrechnungskonto {account} wird am {suspendsOn} gesperrt, wenn der offene Betrag bis dahin nicht "
            "bezahlt ist.",
        ),
        "account.suspended": (
            "Abrechnungskonto {account} wurde gesperrt",
            "Ihr Abrechnungskonto {account} wurde gesperrt.",
        ),
        "account.reactivated": (
            "Abrechnungskonto {account} ist wieder aktiv",
            "Ihr Abrechnungskonto {account} ist wieder aktiv.",
        ),
        "notices.test": (
            "Test des Kanals {channel}",
            "dies ist ein Test des Kanals {channel}. Wenn Sie dies lesen, funktioniert er.",
        ),
    },
)

_FR: Final = Texts(
    greeting="Bonjour,",
    closing="Ce message a été envoyé automatiquement.",
    labels={
        "number": "Facture",
        "creditNote": "Avoir",
        "cancellation": "Annulation",
        "creditGrant": "Crédit",
        "remaining": "Reste",
        "expiresAt": "Expire le",
        "payment": "Paiement",
        "transfer": "Virement",
        "account": "Compte de facturation",
        "channel": "Canal",
        "total": "Total",
        "amount": "Montant",
        "credited": "Montant crédité",
        "amountDue": "Montant dû",
        "issuedOn": "Date de facture",
        "dueOn": "Échéance",
        "suspendsOn": "Suspension le",
        "nextAttemptOn": "Prochaine tentative",
        "invoices": "Factures",
        "reason": "Motif",
    },
    events={
        "invoice.issued": (
            "Facture {number} de {total}",
            "vous trouverez votre facture {number} d’un montant de {total} en pièce jointe ou dans votre compte. "
            "Elle est à régler au plus tard le {dueOn}.",
        ),
        "invoice.past_due": (
            "Facture {number} en retard de paiement",
            "la facture {number} était à régler le {dueOn} et il reste {amountDue} à payer. "
            "Si vous avez payé entre-temps, veuillez ne pas tenir compte de ce message.",
        ),
        "invoice.paid": ("Facture {number} réglée", "la facture {number} est intégralement réglée. Merci."),
        "invoice.voided": (
            "Facture {number} annulée",
            "la facture {number} a été annulée. Vous n’avez rien à payer.",
        ),
        "invoice.written_off": (
            "Facture {number} passée en perte",
            "la facture {number} a été passée en perte.",
        ),
        "creditnote.issued": (
            "Avoir {creditNote} de {credited}",
            "l’avoir {creditNote} de {credited} a été émis pour la facture {number}.",
        ),
        "creditnote.cancelled": (
            "Avoir {creditNote} annulé",
            "{cancellation} annule l’avoir {creditNote} : {amount} de la facture {number} sont de nouveau dus.",
        ),
        "credit.used_up": (
            "Crédit {creditGrant} épuisé",
            "votre crédit {creditGrant} de {amount} est épuisé.",
        ),
        "credit.expiring": (
            "Le crédit {creditGrant} expire bientôt",
            "il reste {remaining} de votre crédit {creditGrant}, qui expire bientôt.",
        ),
        "credit.expired": (
            "Le crédit {creditGrant} a expiré",
            "votre crédit {creditGrant} a expiré ; {remaining} n’ont pas été utilisés.",
        ),
        "credit.taken_back": (
            "Le crédit {creditGrant} a été repris",
            "le paiement de votre crédit {creditGrant} a été rejeté ou restitué : {takenBack} ont été repris.",
        ),
        "payment.succeeded": (
            "Paiement de {amount} reçu",
            "nous avons bien reçu votre paiement de {amount}. Merci.",
        ),
        "payment.failed": (
            "Échec du paiement de {amount}",
            "votre paiement de {amount} n’a pas pu être encaissé. Veuillez vérifier votre moyen de paiement.",
        ),
        "payment.refunded": ("Remboursement de {amount}", "nous vous avons remboursé {amount}."),
        "transfer.booked": (
            "Remboursement de {amount} par virement",
            "nous vous avons remboursé {amount} par virement bancaire.",
        ),
        "transfer.returned": (
            "Notre virement de {amount} est revenu",
            "notre virement de {amount} en votre faveur est revenu. "
            "Veuillez nous indiquer un compte bancaire sur lequel nous pouvons vous payer.",
        ),
        "account.suspension_announced": (
            "Le compte {account} va être suspendu",
            "votre compte de facturation {account} sera suspendu le {suspendsOn} si le montant dû n’est pas réglé "
            "avant cette date.",
        ),
        "account.suspended": (
            "Le compte {account} a été suspendu",
            "votre compte de facturation {account} a été suspendu.",
        ),
        "account.reactivated": (
            "Le compte {account} est de nouveau actif",
            "votre compte de facturation {account} est de nouveau actif.",
        ),
        "notices.test": (
            "Test du canal {channel}",
            "ceci est un test du canal {channel}. Si vous lisez ce message, le canal fonctionne.",
        ),
    },
)

_JA: Final = Texts(
    greeting="お客様各位",
    closing="このメールは自動送信されています。",
    labels={
        "number": "請求書番号",
        "creditNote": "クレジットノート",
        "cancellation": "取消番号",
        "creditGrant": "クレジット",
        "remaining": "残高",
        "expiresAt": "有効期限",
        "payment": "お支払い",
        "transfer": "お振込",
        "account": "請求先アカウント",
        "channel": "チャネル",
        "total": "合計金額",
        "amount": "金額",
        "credited": "減額金額",
        "amountDue": "お支払い残高",
        "issuedOn": "発行日",
        "dueOn": "支払期日",
        "suspendsOn": "停止予定日",
        "nextAttemptOn": "次回の処理日",
        "invoices": "請求書",
        "reason": "理由",
    },
    events={
        "invoice.issued": (
            "請求書 {number}（{total}）のお知らせ",
            "請求書 {number}（{total}）を発行しました。添付ファイルまたはアカウントからご確認ください。"
            "お支払い期日は{dueOn}です。",
        ),
        "invoice.past_due": (
            "請求書 {number} のお支払い期日が過ぎています",
            "請求書 {number} のお支払い期日（{dueOn}）が過ぎており、{amountDue} が未払いです。"
            "行き違いでお支払い済みの場合はご容赦ください。",
        ),
        "invoice.paid": (
            "請求書 {number} のお支払いが完了しました",
            "請求書 {number} のお支払いが完了しました。ありがとうございます。",
        ),
        "invoice.voided": (
            "請求書 {number} は取り消されました",
            "請求書 {number} は取り消されました。お支払いの必要はありません。",
        ),
        "invoice.written_off": (
            "請求書 {number} は貸倒処理されました",
            "請求書 {number} は貸倒処理されました。",
        ),
        "creditnote.issued": (
            "クレジットノート {creditNote}（{credited}）のお知らせ",
            "請求書 {number} に対してクレジットノート {creditNote}（{credited}）を発行しました。",
        ),
        "creditnote.cancelled": (
            "クレジットノート {creditNote} は取り消されました",
            "{cancellation} によりクレジットノート {creditNote} を取り消しました。請求書 {number} のうち {amount} の"
            "お支払いが再び必要となります。",
        ),
        "credit.used_up": (
            "クレジット {creditGrant} を使い切りました",
            "クレジット {creditGrant}（{amount}）の残高がなくなりました。",
        ),
        "credit.expiring": (
            "クレジット {creditGrant} の有効期限が近づいています",
            "クレジット {creditGrant} の残高 {remaining} は、まもなく有効期限を迎えます。",
        ),
        "credit.expired": (
            "クレジット {creditGrant} は失効しました",
            "クレジット {creditGrant} は失効しました。未使用の残高は {remaining} でした。",
        ),
        "credit.taken_back": (
            "クレジット {creditGrant} を取り消しました",
            "クレジット {creditGrant} のお支払いが返金されたため、{takenBack} を取り消しました。",
        ),
        "payment.succeeded": (
            "{amount} のお支払いを確認しました",
            "{amount} のお支払いを確認しました。ありがとうございます。",
        ),
        "payment.failed": (
            "{amount} のお支払いを処理できませんでした",
            "{amount} のお支払いを処理できませんでした。お支払い方法をご確認ください。",
        ),
        "payment.refunded": ("{amount} を返金しました", "{amount} を返金しました。"),
        "transfer.booked": ("{amount} を銀行振込で返金しました", "{amount} を銀行振込で返金しました。"),
        "transfer.returned": (
            "{amount} の振込が戻ってきました",
            "お客様への {amount} の振込が戻ってきました。お振込先の口座をお知らせください。",
        ),
        "account.suspension_announced": (
            "請求先アカウント {account} の停止予定のお知らせ",
            "未払い残高が{suspendsOn}までに支払われない場合、請求先アカウント {account} は停止されます。",
        ),
        "account.suspended": (
            "請求先アカウント {account} は停止されました",
            "請求先アカウント {account} は停止されました。",
        ),
        "account.reactivated": (
            "請求先アカウント {account} が再開されました",
            "請求先アカウント {account} が再開されました。",
        ),
        "notices.test": (
            "チャネル {channel} のテスト",
            "これはチャネル {channel} のテストです。このメールが届いていれば、正しく動作しています。",
        ),
    },
)

TEXTS: Final[Mapping[str, Texts]] = {"en": _EN, "de": _DE, "fr": _FR, "ja": _JA}
